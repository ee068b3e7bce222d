"""Runs `agnews component` and `agnews finish` in processes of their own, on two components that behave as results."""

import json
import os
import signal

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata.runs import component_executions
from schema.errors import exit_statuses
from schema.metadata import FAILURE, FAILURE_LOG, FAILURE_STATUS, GRAPH, RUN_CONTEXT, decode_text
from tests.support import ROOT
from tests.support.command_server import command_server
from tests.support.waiting import wait_until

COMPONENTS = """
import os, time
from pathlib import Path
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import Schema
from pipeline.beam import job_servers
from pipeline.metadata.connection import connection_config
from schema import errors

class JobServer:
    def stop(self):
        Path("stopped").touch()

@component
def Begin(made: OutputArtifact[Schema]) -> None:
    Path(made.uri, "schema.pbtxt").write_text("")

@component
def Work(before: InputArtifact[Schema], made: OutputArtifact[Schema]) -> None:
    fault = os.environ.get("FAULT")
    job_servers._FLINK_SERVERS["options"] = JobServer()
    Path(made.uri, "half.pbtxt" if fault else "schema.pbtxt").write_text("")
    if fault == "hang":
        Path("started").touch()
        time.sleep(90)
    if fault:
        raise vars(errors).get(fault, ZeroDivisionError)("row 7 is bad")

def create(settings, source):
    begin = Begin()
    work = Work(before=begin.outputs["made"])
    return Pipeline("agnews", f"{settings.pipeline.root}/agnews", connection_config(settings), [begin, work], True)
"""
CODE = """
import sys
sys.path.insert(0, {directory!r})
import told_components
from pipeline.runners import component
component.create_pipeline = told_components.create
component.prepare = lambda settings, resolve: component.expected_source(settings)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("server")
    (directory / "told_components.py").write_text(COMPONENTS)
    with command_server(directory, CODE.format(directory=str(directory))) as running:
        yield running


class Orchestrator:
    """Starts commands in an empty directory, and reads the metadata store there."""

    def __init__(self, server, directory):
        self._server, self.directory = server, directory

    def start(self, *arguments, fault=""):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONPATH": str(ROOT)}
        if fault:
            environment["FAULT"] = fault
        # The server has imported the defaults, which are relative to its own directory.
        arguments = [*arguments, "--set", f"pipeline.root={self.directory}/runs"]
        return self._server.start(["agnews", *arguments], environment, self.directory)

    def run(self, name, *arguments, run="day-1", fault=""):
        """The status, the outcome on stdout, and the lines of the log."""
        command = self.start("component", name, "--run", run, *arguments, fault=fault)
        status, printed = command.wait(), command.stdout.read_text()
        return status, json.loads(printed) if printed else None, command.log.splitlines()

    @property
    def store(self):
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(self.directory / "runs/metadata.sqlite")
        return metadata_store.MetadataStore(config)

    def executions(self, name, run="day-1"):
        return component_executions(self.store, run, name)

    def states(self, name, run="day-1"):
        state = metadata_store_pb2.Execution.State
        return [state.Name(one.last_known_state) for one in self.executions(name, run)]

    def kill(self, name, number, run="day-1"):
        """Ends a component with a signal while it works; returns its exit status."""
        (self.directory / "started").unlink(missing_ok=True)
        command = self.start("component", name, "--run", run, fault="hang")
        wait_until((self.directory / "started").exists, 120, message=lambda: command.log)
        os.kill(command.pid, number)
        return command.wait()


@pytest.fixture
def orchestrator(server, tmp_path):
    return Orchestrator(server, tmp_path)


def test_a_component_runs_and_says_how_it_ended(orchestrator):
    status, outcome, log = orchestrator.run("Begin")
    [execution] = orchestrator.executions("Begin")
    assert status == 0
    assert outcome == {"component": "Begin", "run": "day-1", "execution": execution.id, "state": "done"}
    assert log[-1] == "status 0: done"


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [("DataError", "row 7 is bad", 3), ("ZeroDivisionError", "ZeroDivisionError: row 7", 1)],
)
def test_a_failed_execution_stores_error_status_and_log(orchestrator, fault, error, status):
    orchestrator.run("Begin")
    orchestrator.run("Work", "--log", r"C:\logs", fault=fault)
    noted = orchestrator.executions("Work")[-1].custom_properties
    assert noted[FAILURE].string_value.startswith(error)
    assert noted[FAILURE_STATUS].int_value == status
    assert decode_text(noted[FAILURE_LOG].string_value) == r"C:\logs"


def test_a_run_stores_its_graph_once_it_has_begun(orchestrator):
    orchestrator.run("Begin")
    orchestrator.run("Work")
    run = orchestrator.store.get_context_by_type_and_name(RUN_CONTEXT, "day-1")
    graph = json.loads(decode_text(run.custom_properties[GRAPH].string_value))
    assert graph == {"upstream": {"Begin": [], "Work": ["Begin"]}, "control": []}


def test_a_finished_component_is_not_repeated_in_its_run(orchestrator):
    first, again = orchestrator.run("Begin"), orchestrator.run("Begin")
    assert first[:2] == again[:2]
    assert orchestrator.states("Begin") == ["COMPLETE"]


def test_another_run_takes_the_outputs_from_the_cache(orchestrator):
    orchestrator.run("Begin")
    assert orchestrator.run("Begin", run="day-2")[1]["state"] == "cached"


def test_a_killed_component_is_closed_and_runs_again(orchestrator):
    orchestrator.run("Begin")
    for _ in range(2):
        assert orchestrator.kill("Work", signal.SIGKILL) == -signal.SIGKILL
    assert orchestrator.run("Work")[0] == 0
    assert orchestrator.states("Work") == ["CANCELED", "CANCELED", "COMPLETE"]
    [*killed, last] = [one.id for one in orchestrator.executions("Work")]
    outputs = orchestrator.directory / "runs/agnews/Work/made"
    assert [path.name for path in outputs.iterdir()] == [str(last)], killed
    assert [path.name for path in (outputs / str(last)).iterdir()] == ["schema.pbtxt"]


def test_what_a_killed_component_left_in_another_run_is_left_alone(orchestrator):
    """That run may be alive, and another orchestrator's business."""
    for run in ("day-1", "day-10"):
        orchestrator.run("Begin", run=run)
    orchestrator.kill("Work", signal.SIGKILL, run="day-10")
    orchestrator.run("Work", run="day-1")
    assert orchestrator.states("Work", run="day-10") == ["RUNNING"]


def test_sigterm_ends_a_component_with_a_status_that_is_tried_again(orchestrator):
    orchestrator.run("Begin")
    assert orchestrator.kill("Work", signal.SIGTERM) == 143
    assert 143 not in exit_statuses()["user_error"]
    assert orchestrator.run("Work")[0] == 0


@pytest.mark.parametrize(
    ("fault", "status", "meaning"),
    [
        ("DataError", 3, "a user must fix the error above; trying again does not help"),
        ("NothingToTrain", 13, "nothing to train; the run ends here"),
        ("ApprovalPending", 8, "waiting for approval; repeat the same command after the decision"),
        ("NotMeasuredError", 75, "temporary error; it can be tried again"),
        ("AuditError", 75, "temporary error; it can be tried again"),
        ("bug", 1, "unexpected error; it can be tried again"),
    ],
)
def test_the_status_and_the_last_line_say_what_to_do(orchestrator, fault, status, meaning):
    orchestrator.run("Begin")
    ended, outcome, log = orchestrator.run("Work", fault=fault)
    assert (ended, outcome) == (status, None)
    assert log[-1] == f"status {status}: {meaning}"
    assert "row 7 is bad" in log[-2]
    assert orchestrator.run("Work")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Wrok", "--run", "x"], "did you mean 'Work'?"),
        (["Work", "--run", "local-1"], "those of agnews run"),
        (["Work", "--run", "a\\b"], "no backslash"),
        (["Work", "--run", "x", "--set", "trainer.epoch=1"], "did you mean 'trainer.epochs'?"),
    ],
)
def test_a_wrong_call_is_a_users_error(orchestrator, arguments, message):
    command = orchestrator.start("component", *arguments)
    assert command.wait() == 2
    assert message in command.log


@pytest.mark.parametrize("fault", ["", "DataError", "bug"])
def test_no_job_server_stays_after_a_component(orchestrator, fault):
    """The commands of this test's server run no exit handlers, and Beam has nothing else."""
    orchestrator.run("Begin")
    orchestrator.run("Work", fault=fault)
    assert (orchestrator.directory / "stopped").exists()


def test_an_orchestrators_run_name_is_taken_as_it_is(orchestrator):
    name = "scheduled__2026-01-01T00:00:00+00:00.0"
    assert orchestrator.run("Begin", run=name)[0] == 0
    assert orchestrator.states("Begin", run=name) == ["COMPLETE"]


def test_a_users_error_sends_one_alert_in_all_tries(orchestrator, http_sink):
    orchestrator.run("Begin")
    with http_sink() as sink:
        for _ in range(2):
            orchestrator.run("Work", "--set", f"alerts.webhook_url={sink.url}", "--will-retry", fault="DataError")
        [body] = sink.bodies
    assert "row 7 is bad" in body


@pytest.mark.parametrize(("options", "alerts"), [(["--will-retry"], 0), ([], 1)])
def test_an_error_that_may_pass_sends_an_alert_in_the_last_try_only(orchestrator, http_sink, options, alerts):
    orchestrator.run("Begin")
    with http_sink() as sink:
        orchestrator.run("Work", "--set", f"alerts.webhook_url={sink.url}", *options, fault="bug")
        assert len(sink.bodies) == alerts


def finish(orchestrator, sink, status, run="day-1"):
    options = ["--set", f"alerts.webhook_url={sink.url}", "--run", run, "--status", status]
    return orchestrator.start("finish", *options).wait()


def test_the_end_of_a_run_sends_the_alert_that_a_killed_component_could_not(orchestrator, http_sink):
    orchestrator.run("Begin")
    orchestrator.kill("Work", signal.SIGKILL)
    with http_sink() as sink:
        assert finish(orchestrator, sink, '{"state": "FAILED"}') == 0
        [body] = sink.bodies
    assert "Work has not finished" in body


@pytest.mark.parametrize("fault", ["DataError", "NothingToTrain", "ApprovalPending"])
def test_the_end_of_a_run_sends_nothing_where_it_is_known_why(orchestrator, http_sink, fault):
    orchestrator.run("Begin")
    orchestrator.run("Work", fault=fault)
    with http_sink() as sink:
        assert finish(orchestrator, sink, "FAILED") == finish(orchestrator, sink, "SUCCEEDED", run="other") == 0
        assert sink.bodies == []


def test_files_are_not_writable_for_everybody_whatever_the_umask(orchestrator):
    """Argo starts commands with umask 000, as the server of this test does."""
    orchestrator.run("Begin")
    files = [path for path in (orchestrator.directory / "runs").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o002] == []
