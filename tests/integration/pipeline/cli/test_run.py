"""Tests signals to `agnews run`, in a separate process with a model server, a job server and Beam's workers."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import tensorflow as tf
from click.testing import CliRunner

from components.example_gen.synthetic import write_synthetic
from pipeline.cli.run import run
from schema.errors import SettingsError
from tests.support import ROOT

JAVA = f"""#!{sys.executable}
import sys
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_insecure_port("localhost:" + sys.argv[sys.argv.index("--job-port") + 1])
server.start()
server.wait_for_termination()
"""
RUN = """
import time
from pathlib import Path
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from components.infra_validator.validate import Limits, _serving
from pipeline.beam.options import beam_arguments
from pipeline.cli import main
from pipeline.beam.job_servers import FlinkRunner
from pipeline.runners import local
from pipeline.settings import BeamSettings

def hold(_):
    Path("started").touch()
    time.sleep(60)

def run(*_):
    options = ["--flink_job_server_jar=any.jar", "--flink_master=[local]", "--job_server_java_launcher=./java"]
    FlinkRunner().default_job_server(PipelineOptions(options)).start()
    with _serving("model", Limits(60.0, 4096, 0.0), time.monotonic() + 60):
        with beam.Pipeline(options=PipelineOptions(beam_arguments(BeamSettings(workers=2)))) as two:
            two | beam.Create([0]) | beam.Map(hold)

local.run = run
main()
"""
# Two components; the first one handles an exception as Beam and TensorFlow do.
COMPONENTS = """
import time
from pathlib import Path
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import Schema
from pipeline import dag
from pipeline.metadata.connection import connection_config

@component
def Work(fault: Parameter[str], made: OutputArtifact[Schema]) -> None:
    Path("started").touch()
    try:
        time.sleep(90)
    except BaseException as error:
        if fault == "wrapped":
            raise RuntimeError(f"{error!r} [while running 'a step']") from error

@component
def Push(made: InputArtifact[Schema]) -> None:
    Path("pushed").touch()

def create(fault, settings):
    work = Work(fault=fault)
    push = Push(made=work.outputs["made"])
    return Pipeline("agnews", "runs/agnews", connection_config(settings), [work, push])
"""
RUN_COMPONENTS = """
import sys
import hides_signals
from pipeline import dag
from pipeline.cli import main

fault = sys.argv.pop()
dag.create_pipeline = lambda settings, source: hides_signals.create(fault, settings)
main()
"""


class Echo(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def echo(self, inputs):
        return {"outputs": inputs}


@pytest.fixture
def started(tmp_path):
    """Starts a run; returns it with the processes that it has started."""
    write_synthetic(tmp_path / "data", train_rows=40, test_rows=10, seed=7)
    model = Echo()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": model.echo})
    (tmp_path / "java").write_text(JAVA)
    (tmp_path / "java").chmod(0o755)
    (tmp_path / "any.jar").touch()
    command = [sys.executable, "-c", RUN, "run", "--data", "data"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    children = []
    try:
        while process.poll() is None and not (tmp_path / "started").exists():
            time.sleep(0.1)
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
        yield process, children
    finally:
        for each in (process, *(child for child in children if child.is_running())):
            each.kill()
        process.wait()


def test_a_terminated_run_ends_its_processes_and_says_what_comes_next(started):
    process, children = started
    commands = [" ".join(child.cmdline()) for child in children]
    for what in ("./java", "serving.server", "sdk_worker_main"):
        assert [command for command in commands if what in command]
    process.send_signal(signal.SIGTERM)
    _, output = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Terminated; the next run continues after the last finished component. The log is" in output
    assert "Traceback" not in output
    # The process that inherits an ended one may need some time to notice its end.
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


HIDING = {"dropped": signal.SIGTERM, "wrapped": signal.SIGINT}


@pytest.fixture(scope="module")
def hiding(tmp_path_factory, http_sink):
    """Starts all runs whose component suppresses a signal; returns how each ended, by the component's behaviour."""
    with contextlib.ExitStack() as stack:
        started = {}
        for fault in HIDING:
            directory = tmp_path_factory.mktemp(fault)
            write_synthetic(directory / "data", train_rows=40, test_rows=10, seed=7)
            (directory / "hides_signals.py").write_text(COMPONENTS)
            sink = stack.enter_context(http_sink())
            command = [sys.executable, "-c", RUN_COMPONENTS, "run", "--data", "data", "--set"]
            process = subprocess.Popen(
                [*command, f"alerts.webhook_url={sink.url}", fault],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=directory,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            stack.callback(process.kill)
            started[fault] = process, directory, sink
        ended = {}
        for fault, (process, directory, sink) in started.items():
            while process.poll() is None and not (directory / "started").exists():
                time.sleep(0.1)
            process.send_signal(HIDING[fault])
            output, _ = process.communicate(timeout=60)
            ended[fault] = SimpleNamespace(
                status=process.returncode, output=output, pushed=(directory / "pushed").exists(), alerts=sink.bodies
            )
        yield ended


@pytest.mark.parametrize("fault", HIDING)
def test_a_signal_that_a_component_hides_ends_the_run(hiding, fault):
    ended = hiding[fault]
    assert ended.status == 128 + HIDING[fault], ended.output
    assert "the next run continues" in ended.output
    assert "Work: stopped" in ended.output
    assert "failed" not in ended.output
    assert not ended.pushed
    assert ended.alerts == []


def test_the_directory_of_the_data_is_printed_as_it_is(tmp_path, monkeypatch, capfd):
    """Rich interprets [x] as markup, and [/x] as an error in the markup."""

    def stop(*_):
        raise SettingsError("seen enough")

    monkeypatch.setattr("pipeline.dag.create_pipeline", stop)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # This process keeps its own handlers.
    write_synthetic(tmp_path / "dated [x] [" / "x]", train_rows=8, test_rows=8, seed=1)
    data, root = str(tmp_path / "dated [x] [" / "x]"), str(tmp_path / "runs")
    ended = CliRunner().invoke(run, ["--data", data, "--set", f"pipeline.root={root}"])
    assert "seen enough" in str(ended.exception)
    assert f"data: {data} (from data.path)" in capfd.readouterr().out
