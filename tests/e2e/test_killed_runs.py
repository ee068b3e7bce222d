"""Runs that are ended from outside at several stages: the next one starts cleanly."""

import signal
import time
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.e2e

_DIE = (
    "import os, signal; from components.pusher import component as pusher; "
    "die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
)
IN_THE_COPY = f"{_DIE}; pusher.make_readable = die"
BEFORE_THE_RECORD = f"{_DIE}; pusher.PusherExecutor._MarkPushed = die"


def end(workplace, line, signal_number, *, once_there_is="*"):
    """Starts a run and ends it when `line` has been printed and a path matches."""
    process = workplace.start()
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
    workplace.make_data("data", rows=800)
    # So few rows teach little, and these runs are not about accuracy.
    settings = "evaluator: {min_accuracy: 0.1, min_label_recall: 0.0}"
    (workplace.directory / "agnews.yaml").write_text(settings)
    told = SimpleNamespace(workplace=workplace, stores=[], versions=[], leftovers=[])

    def look():
        told.stores.append(workplace.store().get_artifacts())
        told.versions.append(workplace.versions)
        told.leftovers.append(workplace.leftovers)

    told.transform = end(
        workplace, "Transform: running", signal.SIGKILL, once_there_is="runs/agnews/Transform/transform_graph/*"
    )
    look()
    told.interrupted = end(workplace, "Trainer: training begins", signal.SIGINT)
    look()
    told.trainer = end(workplace, "Trainer: training begins", signal.SIGKILL)
    look()
    told.copying = workplace.run(code=IN_THE_COPY)
    look()
    told.recording = workplace.run(code=BEFORE_THE_RECORD)
    look()
    told.last = workplace.run()
    look()
    return told


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


def test_a_kill_in_the_copy_leaves_no_version_and_one_before_the_record_a_whole_one(story):
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

    states = [execution.last_known_state for execution in story.workplace.store().get_executions()]
    assert metadata_store_pb2.Execution.RUNNING not in states
    assert states.count(metadata_store_pb2.Execution.CANCELED) == 5
