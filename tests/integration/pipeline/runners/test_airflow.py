"""Tests single tasks and callbacks of the DAG in Airflow; tests/e2e/test_airflow.py tests runs of whole days."""

import contextlib
import sys
from datetime import timedelta
from types import SimpleNamespace

import psutil
import pytest

from pipeline.settings import Settings
from schema.errors import ApprovalError, AuditError, DataError, NothingToTrain, RunError, SettingsError

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home")]

# Replaces Java, with which Beam starts Flink's job server; it listens on the given port.
JOB_SERVER = """#!{python}
import sys
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_insecure_port("localhost:" + sys.argv[sys.argv.index("--job-port") + 1])
server.start()
server.wait_for_termination()
"""
DAG_FILE = """
from pipeline.runners.airflow.dag import build_dag
from pipeline.settings import Settings
dag = build_dag(Settings())
"""
PLAN = {"AgNewsExampleGen": [], "Trainer": ["AgNewsExampleGen"], "AgNewsPusher": ["Trainer"]}


@pytest.fixture
def three_components(monkeypatch):
    from pipeline.runners.airflow import dag as airflow

    monkeypatch.setattr(airflow, "plan", lambda *_: PLAN)


@pytest.fixture
def build(three_components, tmp_path):
    """Builds the DAG, on files without rows."""
    from pipeline.runners.airflow.dag import build_dag

    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").touch()
    return lambda **sections: build_dag(Settings.model_validate({"data": {"path": str(tmp_path)}} | sections))


def run_task(dag, task_id):
    import pendulum

    instance = SimpleNamespace(
        run_id="day", log_url="log", xcom_pull=lambda task_ids: "day.1", get_dagrun=lambda: instance
    )
    day = pendulum.datetime(2026, 1, 1)
    return dag.get_task(task_id).execute({"ti": instance, "dag_run": instance, "data_interval_start": day})


@pytest.fixture
def failing(monkeypatch):
    """Lets each component raise an error."""
    from pipeline.runners.airflow import tasks as airflow_tasks

    def fail(error):
        def run_component(*_):
            raise error

        monkeypatch.setattr(airflow_tasks, "run_component", run_component)

    return fail


def test_a_task_whose_component_hides_sigterm_is_terminated_and_not_failed(build, monkeypatch, interrupt):
    from airflow.exceptions import AirflowTaskTerminated

    from pipeline.runners.airflow import tasks as airflow_tasks
    from schema.interruption import interruptible

    dag = build()

    def run_component(*_):
        with interruptible():
            dag.get_task("Trainer").on_kill()  # Airflow's signal handler calls it.
            raise RunError("Trainer failed: RuntimeError: Task received SIGTERM signal")

    monkeypatch.setattr(airflow_tasks, "run_component", run_component)
    # Airflow retries such a task; it would not retry after AirflowFailException.
    with pytest.raises(AirflowTaskTerminated):
        run_task(dag, "Trainer")


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
    """Writes the replacement for Java, and a jar next to it; kills the processes that are left after the test."""
    (tmp_path / "job-server.jar").touch()
    launcher = tmp_path / "java"
    launcher.write_text(JOB_SERVER.format(python=sys.executable))
    launcher.chmod(0o700)
    yield launcher
    for process in job_servers(launcher):
        process.kill()
        process.wait()


def job_servers(launcher):
    def is_one(process):
        try:
            return str(launcher) in process.cmdline()
        except psutil.Error:  # It has just ended.
            return False

    return list(filter(is_one, psutil.Process().children()))


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_a_task_leaves_no_job_server_behind(build, launcher, monkeypatch, outcome):
    from airflow.exceptions import AirflowFailException
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.beam.job_servers import FlinkRunner
    from pipeline.runners.airflow.tasks import NodeLauncher

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


class Late:
    """Creates runs of a DAG, and collects the alerts of Airflow's check for late runs."""

    def __init__(self, dag, file, events):
        from airflow.utils import timezone

        self.dag, self.file, self.events = dag, file, events
        self.today = timezone.utcnow().replace(hour=0, minute=0, second=0, microsecond=0)

    def day(self, days_ago, *states, kind="scheduled"):
        """Creates the run of a day with the states of its tasks; returns the run's name."""
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunType

        begin, end = self.today - timedelta(days=days_ago), self.today - timedelta(days=days_ago - 1)
        options = {"execution_date": begin if kind == "scheduled" else end + timedelta(hours=1), "state": "running"}
        with create_session() as session:
            run = self.dag.create_dagrun(
                run_type=DagRunType(kind), data_interval=(begin, end), session=session, **options
            )
            for task, state in zip(PLAN, states, strict=True):
                run.get_task_instance(task, session=session).state = state
        return run.run_id

    def look(self):
        from airflow.dag_processing.processor import DagFileProcessor
        from airflow.utils.session import create_session

        with create_session() as session:
            DagFileProcessor.manage_slas(str(self.file), self.dag.dag_id, session=session)


@pytest.fixture
def late(three_components, tmp_path, monkeypatch):
    from airflow.models import DagBag, DagRun, SlaMiss, TaskInstance
    from airflow.utils.session import create_session

    from pipeline.runners.airflow import dag as airflow

    events = []
    monkeypatch.setattr(airflow, "notify", lambda _, event: events.append(event))
    file = tmp_path / "dag.py"
    file.write_text(DAG_FILE)
    dag = DagBag(file, include_examples=False).dags["agnews"]
    dag.sync_to_db()
    yield Late(dag, file, events)
    with create_session() as session:
        for table in (SlaMiss, TaskInstance, DagRun):
            session.query(table).delete()


@pytest.mark.parametrize("last_good", [3, 20])
def test_a_late_day_is_told_with_what_it_waits_for_and_days_left_out_are_not(late, last_good):
    late.day(last_good, "success", "success", "success")
    run = late.day(2, "success", "running", None)
    late.look()
    [event] = late.events
    assert (event.kind, event.run, event.message) == ("late", run, "AgNewsPusher waits for Trainer (running)")
    assert "task_id=Trainer" in event.log
    late.look()
    assert len(late.events) == 1


def test_a_day_that_failed_waits_for_the_task_that_did(late):
    late.day(3, "success", "success", "skipped")
    late.day(2, "failed", "upstream_failed", "upstream_failed")
    late.look()
    assert [event.message for event in late.events] == ["AgNewsPusher waits for AgNewsExampleGen (failed)"]


def test_a_day_without_a_task_that_began_waits_for_its_first(late):
    late.day(3, "success", "success", "success")
    late.day(2, None, None, None)
    late.look()
    assert [event.message for event in late.events] == ["AgNewsPusher waits for AgNewsExampleGen (not begun)"]


def test_a_day_with_a_pushed_model_sends_no_alert(late):
    from airflow.models import SlaMiss
    from airflow.utils.session import create_session

    late.day(3, "success", "success", "success")
    late.day(3, "success", "running", None, kind="manual")
    with create_session() as session:
        end = late.today - timedelta(days=2)
        session.add(SlaMiss(task_id="AgNewsPusher", dag_id="agnews", execution_date=end, timestamp=end))
    late.look()
    assert late.events == []
