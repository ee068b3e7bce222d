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


def test_plain_lines_tell_states_and_times(console):
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
