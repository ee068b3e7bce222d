"""Runs each task of the compiled pipeline with its own command line and mounts, on PostgreSQL, to pushed models."""

import contextlib
import os
import re
import signal
import time
from types import SimpleNamespace

import pytest

from tests.support.command_server import command_server
from tests.support.kubeflow import Cluster
from tests.support.small_run import SMALL_RUNS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kubeflow, pytest.mark.timeout(5400)]

SETTINGS = SMALL_RUNS | {
    "data.train_pattern": "{SPAN}/train.csv",
    "data.test_pattern": "{SPAN}/test.csv",
    "data.window": "2",
    "promotion.require_approval": "true",
}


@pytest.fixture(scope="module")
def story(tmp_path_factory, metadata_server):
    from components.example_gen.synthetic import write_synthetic

    directory = tmp_path_factory.mktemp("kubeflow")
    result = SimpleNamespace(killed=[], approved=[])
    # One server runs the tasks, another one what a person does while a task waits.
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("tasks", "people"):
            (directory / name).mkdir()
            servers.append(stack.enter_context(command_server(directory / name)))
        result.cluster = cluster = Cluster(directory, metadata_server, servers[0], SETTINGS)
        people = cluster.with_commands(servers[1])
        for span in (1, 2):
            # The same rows: so few others would have drifted.
            write_synthetic(cluster.volume / f"data/{span}", train_rows=400, test_rows=100, seed=7)
        cluster.compile()

        def kill_trainer_once(title, running):
            if title == "Trainer" and not result.killed:
                wait_until(lambda: "Going to run a new execution" in running.log, 600)
                os.killpg(running.pid, signal.SIGKILL)
                result.killed.append(running.pid)
            approve(title, running)

        def approve(title, running):
            if title == "RequestApproval":
                shown = wait_until(lambda: re.search(r"agnews approvals approve (\d+)", running.log), 600)
                ended = people.agnews("approvals", "approve", shown[1], "--by", "bob@here", "--reason", "good enough")
                result.approved.append(ended)

        started = time.monotonic()
        result.first = cluster.run("first", {"author": "ann@here", "span": "1"}, at_task=kill_trainer_once)
        result.again = cluster.run("again", {"author": "ann@here", "span": "1"})
        result.window = cluster.run("window", {"author": "ann@here", "span": "2"}, at_task=approve)
        result.seconds = time.monotonic() - started
        with cluster.all_mounted():
            result.verified = cluster.agnews("audit", "verify")
        serving = cluster.volume / "serving_model/agnews"
        result.versions = sorted(path.name for path in serving.iterdir() if path.name.isdecimal())
    return result


def executions(store, run, component):
    from pipeline.metadata.runs import component_executions

    return component_executions(store, f"kubeflow-{run}", component)


def states(store, run, component):
    from ml_metadata.proto.metadata_store_pb2 import Execution

    return [Execution.State.Name(one.last_known_state) for one in executions(store, run, component)]


def test_each_run_ends_well(story):
    for statuses in (story.first, story.again, story.window):
        assert set(statuses.values()) == {0}
        assert len(statuses) == 18  # All components, with the window's and the approval's, and the end of the run.


def test_a_killed_task_is_closed_and_its_second_try_finishes(story, store):
    assert len(story.killed) == 1
    assert states(store, "first", "Trainer") == ["CANCELED", "COMPLETE"]


def test_a_task_waits_until_another_person_has_approved(story):
    assert [ended.status for ended in story.approved] == [0, 0]
    assert "approved by bob@here" in story.approved[0].output
    assert story.verified.status == 0
    assert "4 entries, as written" in story.verified.output


def test_the_second_run_takes_everything_from_the_cache(story, store):
    components = [name for name in story.again if not name.endswith("Resolver") and name != "end of the run"]
    assert {name: states(store, "again", name) for name in components} == {name: ["CACHED"] for name in components}


def test_a_window_of_two_spans_is_trained_and_pushed(story, store):
    from pipeline.metadata.graph import execution_inputs

    [transform] = executions(store, "window", "Transform")
    spans = [one.custom_properties["span"].int_value for one in execution_inputs(store, transform.id)["examples"]]
    assert sorted(spans) == [1, 2]
    assert len(story.versions) == 2


def test_no_file_on_the_volume_can_be_written_by_everybody(story):
    """Argo starts commands with umask 000."""
    files = [path for path in story.cluster.volume.rglob("*") if path.is_file() and "data" not in path.parts]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o002] == []
