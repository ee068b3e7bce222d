"""Runs that are killed at several stages, and runs after somebody deleted files: the next run recovers."""

import shutil
import signal
import time
from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.interrupts, pytest.mark.timeout(1800)]

# So few rows teach little, and these runs are not about accuracy.
SETTINGS = """
trainer: {epochs: 1, architecture: lstm, embedding_dim: 16, units: 8, batch_tokens: 1000}
evaluator: {min_accuracy: 0.0, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}
model_card: {robustness_rows: 20}
"""

_DIE = (
    "import os, signal; from components.pusher import component as pusher; "
    "die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
)
IN_THE_COPY = f"{_DIE}; pusher.make_readable = die"
BEFORE_THE_RECORD = f"{_DIE}; pusher.PusherExecutor._MarkPushed = die"


def end(workplace, line, signal_number, *, once_there_is="*"):
    """Starts a run and ends it when `line` has been printed and a path matches."""
    process = workplace.start(warm=True)
    output = []
    for text in process.stdout:
        output.append(text)
        if line in text:
            deadline = time.monotonic() + 60
            while not list(workplace.directory.glob(once_there_is)) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal_number)
    return process.wait(), "".join(output)


@pytest.fixture(scope="module")
def story(workplace):
    workplace.make_data("data", rows=400)
    (workplace.directory / "agnews.yaml").write_text(SETTINGS)
    results = SimpleNamespace(workplace=workplace, stores=[], versions=[], leftovers=[])

    def look():
        results.stores.append(workplace.store().get_artifacts())
        results.versions.append(workplace.versions)
        results.leftovers.append(workplace.leftovers)

    results.transform = end(
        workplace, "Transform: running", signal.SIGKILL, once_there_is="runs/agnews/Transform/transform_graph/*"
    )
    look()
    results.interrupted = end(workplace, "Trainer: training begins", signal.SIGINT)
    look()
    results.trainer = end(workplace, "Trainer: training begins", signal.SIGKILL)
    look()
    results.copying = workplace.run(code=IN_THE_COPY, warm=True)
    look()
    results.recording = workplace.run(code=BEFORE_THE_RECORD, warm=True)
    look()
    results.last = workplace.run(warm=True)
    look()
    results.states = [execution.last_known_state for execution in workplace.store().get_executions()]
    return results


@pytest.fixture(scope="module")
def after_deletion(story, workplace):
    """The story's continuation: a run after files were deleted, and one after that was recorded."""
    made = workplace.directory / "runs/agnews"
    shutil.rmtree(made / "Trainer/model")
    shutil.rmtree(next(made.glob("Transform/transformed_examples/*/Split-val")))
    shutil.rmtree(made / "StatisticsGen/statistics")
    first = workplace.run("--set", "trainer.learning_rate=0.02", warm=True)
    marked = workplace.agnews("artifacts", "check", "--mark-deleted")
    second = workplace.run(warm=True)
    return SimpleNamespace(first=first, marked=marked, second=second)


def test_the_runs_were_killed_where_they_should_be(story):
    assert [story.transform[0], story.trainer[0], story.copying.status, story.recording.status] == [-signal.SIGKILL] * 4
    assert "Transform: done" not in story.transform[1]
    assert "Trainer: done" not in story.trainer[1]
    assert "AgNewsPusher: done" not in story.copying.output + story.recording.output


def test_the_metadata_store_can_be_read_after_each_kill(story):
    assert all(artifacts for artifacts in story.stores)


def test_a_run_after_a_kill_goes_on_from_the_last_finished_component(story):
    assert "Transform: done" in story.interrupted[1]
    assert "StatisticsGen: cached" in story.interrupted[1]
    assert "Transform: cached" in story.trainer[1]
    assert story.copying.states["Transform"] == "cached"
    assert story.recording.states["Trainer"] == "cached"


def test_an_interrupted_run_says_so_without_a_trace(story):
    status, output = story.interrupted
    assert status == 130
    assert "Interrupted; the next run continues" in output
    assert "Trainer: stopped" in output
    assert "Traceback" not in output
    assert "failed" not in output


def test_a_kill_leaves_no_version_or_a_whole_one(story):
    assert story.versions[:4] == [[], [], [], []]
    assert story.leftovers[3]
    assert len(story.versions[4]) == 1
    assert story.leftovers[4] == []


def test_the_last_run_records_the_version_that_is_there_and_pushes_no_second(story):
    assert story.last.status == 0
    assert story.versions[5] == story.versions[4]
    assert f"pushed as version {story.versions[5][0]}" in story.last.output


def test_no_execution_is_left_running(story):
    from ml_metadata.proto import metadata_store_pb2

    assert metadata_store_pb2.Execution.RUNNING not in story.states
    assert story.states.count(metadata_store_pb2.Execution.CANCELED) == 5


def test_a_run_after_a_deletion_makes_what_it_needs_and_pushes(after_deletion):
    run = after_deletion.first
    assert run.status == 0
    assert run.states["AgNewsExampleGen"] == "cached"
    assert [run.states[component] for component in ("StatisticsGen", "Transform", "Trainer")] == ["done"] * 3
    assert "blessed and pushed" in run.output


def test_the_run_says_what_is_gone_and_what_follows(after_deletion):
    assert "BaselineResolver: model " in after_deletion.first.output
    assert "is gone from " in after_deletion.first.output
    assert "there is no baseline" in after_deletion.first.output


def test_what_was_marked_as_deleted_is_not_looked_for_again(after_deletion):
    assert "Trainer" in after_deletion.marked
    assert "marked as deleted" in after_deletion.marked
    assert after_deletion.second.status == 0
    assert after_deletion.second.states["Trainer"] == "done"
    assert "is gone from" not in after_deletion.second.output
    assert "no baseline" not in after_deletion.second.output
