import io

import pytest
from rich.console import Console

from pipeline.runners.display import LiveDisplay, PlainDisplay, describe
from pipeline.runners.events import ComponentEvent, ProgressEvent, State

TRAINING = ProgressEvent(
    "Trainer",
    "training",
    {"epoch": 2, "epochs": 4, "done": 0.5, "loss": 0.31, "accuracy": 0.9, "rows_per_second": 1200},
)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=140, force_terminal=False)


def test_training_reads_as_a_sentence():
    assert describe(TRAINING) == "epoch 2/4 50%, loss 0.3100, accuracy 0.9000, 1,200 rows/s"


def test_other_reports_name_their_fields():
    event = ProgressEvent("AgNewsExampleGen", "ingested", {"rows_read": 88003, "source": "here"})
    assert describe(event) == "ingested: rows read 88,003, source here"
    assert describe(ProgressEvent("X", "ready", {})) == "ready"


def test_plain_lines_show_states_and_times(console):
    with PlainDisplay(console) as display:
        display.run_began({"A": [], "B": ["A"]})
        display.component_changed(ComponentEvent("A", State.RUNNING))
        display.component_changed(ComponentEvent("A", State.CACHED, 1.26))
    lines = console.file.getvalue().splitlines()
    assert [line[9:] for line in lines] == ["2 components: A → B", "A: running", "A: cached (1.3 s)"]


def test_plain_lines_report_progress_now_and_then_and_every_end(console):
    end = ProgressEvent("Trainer", "epoch done", TRAINING.fields | {"done": 1.0})
    with PlainDisplay(console) as display:
        for event in (TRAINING, TRAINING, end):
            display.progressed(event)
    assert [line.split(",")[0][-4:] for line in console.file.getvalue().splitlines()] == [" 50%", "100%"]


def test_the_live_table_shows_each_component_with_its_state(console):
    display = LiveDisplay(console)
    display.run_began({"Transform": [], "Trainer": ["Transform"], "Pusher": ["Trainer"]})
    display.component_changed(ComponentEvent("Transform", State.CACHED, 0.1))
    display.component_changed(ComponentEvent("Trainer", State.RUNNING))
    display.progressed(TRAINING)
    console.print(display._render())
    lines = {line.split()[0]: line for line in console.file.getvalue().splitlines() if line.strip()}
    assert "= cached" in lines["Transform"]
    assert "▶ running" in lines["Trainer"]
    assert "· waiting" in lines["Pusher"]
    assert "epoch 2/4 50%" in console.file.getvalue()


def test_before_the_run_begins_something_is_shown(console):
    console.print(LiveDisplay(console)._render())
    assert "loading" in console.file.getvalue()


REPORT = {"epoch": 3, "epochs": 4, "done": 0.5, "loss": 0.25, "rows_per_second": 900}


def shown(display, console):
    """Returns the rows of the table by their first word."""
    console.print(display._render())
    return {line.split()[0]: line for line in console.file.getvalue().splitlines() if line.strip()}


def test_metrics_that_training_does_not_report_are_left_out():
    event = ProgressEvent("Trainer", "training", REPORT | {"val_accuracy": 0.91234})
    assert describe(event) == "epoch 3/4 50%, loss 0.2500, val_accuracy 0.9123, 900 rows/s"


def test_describing_a_report_leaves_its_fields_alone():
    event = ProgressEvent("Trainer", "training", dict(REPORT))
    describe(event)
    assert event.fields == REPORT


def test_plain_lines_show_a_failure_with_its_time(console):
    with PlainDisplay(console) as display:
        display.component_changed(ComponentEvent("Evaluator", State.FAILED, 12.34))
    assert console.file.getvalue()[9:] == "Evaluator: failed (12.3 s)\n"


def test_plain_lines_keep_brackets_and_are_not_broken():
    console = Console(file=io.StringIO(), width=20, force_terminal=False)
    with PlainDisplay(console) as display:
        display.progressed(ProgressEvent("ExampleGen", "read", {"source": "[red]a long place[/red]"}))
    assert console.file.getvalue()[9:] == "ExampleGen: read: source [red]a long place[/red]\n"


def test_plain_lines_show_every_report_that_is_not_midway(console):
    with PlainDisplay(console) as display:
        for rows in (1, 2, 3):
            display.progressed(ProgressEvent("ExampleGen", "ingested", {"rows": rows}))
    assert [line[-1] for line in console.file.getvalue().splitlines()] == ["1", "2", "3"]


def test_the_live_table_names_what_a_component_waits_for(console):
    display = LiveDisplay(console)
    display.run_began({"Trainer": [], "Resolver": [], "Evaluator": ["Trainer", "Resolver"]})
    assert "Trainer, Resolver" in shown(display, console)["Evaluator"]


@pytest.mark.parametrize(
    ("state", "sign"), [(State.DONE, "✓ done"), (State.CACHED, "= cached"), (State.FAILED, "✗ failed")]
)
def test_the_live_table_shows_how_a_component_ended_and_its_seconds(console, state, sign):
    display = LiveDisplay(console)
    display.run_began({"Trainer": []})
    display.component_changed(ComponentEvent("Trainer", State.RUNNING))
    display.component_changed(ComponentEvent("Trainer", state, 41.6))
    row = shown(display, console)["Trainer"]
    assert sign in row
    assert "42 s" in row


def test_a_waiting_component_has_no_time(console):
    display = LiveDisplay(console)
    display.run_began({"Pusher": []})
    assert shown(display, console)["Pusher"].split() == ["Pusher", "·", "waiting"]


def test_a_running_component_counts_from_its_start(console, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("pipeline.runners.display.time.monotonic", lambda: now[0])
    display = LiveDisplay(console)
    display.run_began({"Trainer": []})
    display.component_changed(ComponentEvent("Trainer", State.RUNNING))
    now[0] = 107.0
    assert "7 s" in shown(display, console)["Trainer"]


def test_the_bar_of_a_training_counts_whole_epochs(console):
    display = LiveDisplay(console)
    display.run_began({"Trainer": []})
    display.progressed(ProgressEvent("Trainer", "training", REPORT))
    bar = display._report("Trainer", running=True).renderables[0]
    assert bar.completed == pytest.approx(2.5 / 4)


def test_a_component_that_ended_keeps_its_last_report_without_a_bar(console):
    display = LiveDisplay(console)
    display.run_began({"Trainer": []})
    display.progressed(ProgressEvent("Trainer", "training", REPORT))
    assert str(display._report("Trainer", running=False)) == "epoch 3/4 50%, loss 0.2500, 900 rows/s"


def test_leaving_the_live_display_after_an_error_prints_the_last_state(console):
    def fail():
        with LiveDisplay(console) as display:
            display.run_began({"Trainer": []})
            display.component_changed(ComponentEvent("Trainer", State.FAILED, 3.0))
            raise ValueError("the run failed")

    with pytest.raises(ValueError, match="the run failed"):
        fail()
    assert "✗ failed" in console.file.getvalue()
