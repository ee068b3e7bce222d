"""Single tasks and callbacks of the DAG, within Airflow; the story of whole days is tests/e2e/test_airflow.py."""

import contextlib
import sys
from types import SimpleNamespace

import pendulum
import psutil
import pytest

from pipeline.settings import Settings
from schema.errors import ApprovalError, AuditError, DataError, NothingToTrain, RunError, SettingsError

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home")]

# What Beam starts Flink's job server with, in place of Java: it listens at the port that it is told.
JOB_SERVER = """#!{python}
import contextlib
import sys
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_insecure_port("localhost:" + sys.argv[sys.argv.index("--job-port") + 1])
server.start()
server.wait_for_termination()
"""
PLAN = {"AgNewsExampleGen": [], "Trainer": ["AgNewsExampleGen"], "AgNewsPusher": ["Trainer"]}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds the DAG of three components."""
    from pipeline.runners import airflow

    monkeypatch.setattr(airflow, "plan", lambda *_: PLAN)
    roots = {"pipeline": {"root": str(tmp_path / "runs")}, "data": {"synthetic_rows": 40, "path": str(tmp_path)}}
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").touch()
    return lambda **sections: airflow.build_dag(Settings.model_validate(roots | sections))


def run_task(dag, task_id):
    instance = SimpleNamespace(
        run_id="day", log_url="log", xcom_pull=lambda task_ids: "day.1", get_dagrun=lambda: instance
    )
    day = pendulum.datetime(2026, 1, 1)
    return dag.get_task(task_id).execute({"ti": instance, "dag_run": instance, "data_interval_start": day})


@pytest.fixture
def failing(monkeypatch):
    """Lets each component raise an error."""
    from pipeline.runners import airflow_tasks

    def fail(error):
        def run_component(*_):
            raise error

        monkeypatch.setattr(airflow_tasks, "run_component", run_component)

    return fail


def test_a_metadata_store_that_is_away_is_tried_again(build):
    nobody = {"backend": "postgresql", "host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "password": "p"}
    with pytest.raises(RunError, match="the metadata store cannot be opened"):
        run_task(build(metadata=nobody), "Trainer")


def test_an_audit_log_that_is_away_is_tried_again(build, failing):
    failing(AuditError("the audit log cannot be written: Stale file handle"))
    with pytest.raises(AuditError):
        run_task(build(), "AgNewsPusher")


@pytest.mark.parametrize("kind", [SettingsError, DataError, RunError, ApprovalError])
def test_what_a_user_must_mend_fails_at_once(build, failing, kind):
    from airflow.exceptions import AirflowFailException

    failing(kind("mend it"))
    with pytest.raises(AirflowFailException, match="Trainer: mend it"):
        run_task(build(), "Trainer")


def test_a_span_without_rows_is_skipped(build, failing):
    from airflow.exceptions import AirflowSkipException

    failing(NothingToTrain("the span is empty"))
    with pytest.raises(AirflowSkipException, match="the span is empty"):
        run_task(build(), "Trainer")


@pytest.fixture
def launcher(tmp_path):
    """The stand-in for Java, with a jar beside it; what it leaves running is killed after the test."""
    (tmp_path / "job-server.jar").touch()
    launcher = tmp_path / "java"
    launcher.write_text(JOB_SERVER.format(python=sys.executable))
    launcher.chmod(0o700)
    yield launcher
    for process in job_servers(launcher):
        process.kill()
        process.wait()


def job_servers(launcher):
    return [process for process in psutil.Process().children() if str(launcher) in process.cmdline()]


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_a_task_leaves_no_job_server_behind(build, launcher, monkeypatch, outcome):
    from airflow.exceptions import AirflowFailException
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.job_servers import FlinkRunner
    from pipeline.runners.airflow_tasks import NodeLauncher

    jar = launcher.with_name("job-server.jar")
    options = PipelineOptions([f"--flink_job_server_jar={jar}", f"--job_server_java_launcher={launcher}"])
    running = []

    def launch(_):
        FlinkRunner().default_job_server(options).start()
        running.extend(job_servers(launcher))
        if outcome == "failed":
            raise DataError("no good")

    monkeypatch.setattr(NodeLauncher, "launch", launch)
    with contextlib.suppress(AirflowFailException):
        run_task(build(), "Trainer")
    assert len(running) == 1
    assert job_servers(launcher) == []
