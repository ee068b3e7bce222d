"""Builds the Airflow DAG, with one task per component, without importing TensorFlow Extended (TFX).

Airflow parses a DAG file every 30 seconds and again in each task, and TFX takes ten seconds to import. Therefore the
DAG is built from a plan, a file with the components and their dependencies that is written once. A task imports TFX
when it runs, and then TFX's own runner for Airflow builds and runs the component with the settings of the day
(`pipeline.runners.airflow.tasks`).
"""

import functools
import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTerminated
from airflow.models import DAG, BaseOperator, DagRun
from airflow.sensors.base import BaseSensorOperator
from airflow.utils import timezone
from airflow.utils.state import TaskInstanceState
from airflow.utils.types import DagRunType
from sqlalchemy import select
from sqlalchemy.orm import object_session

import components
import pipeline
from pipeline.alerts import Event, Kind, notify
from pipeline.settings import Settings
from schema.errors import AgNewsError, NothingToTrain, RunError
from schema.interruption import Interrupted, interrupt

AWAIT_APPROVAL = "await_approval"
_REQUEST = "RequestApproval"
_TRAINING = ("Tuner", "Trainer")
_FINISHED = (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)
_LONGEST_WAIT = timedelta(hours=1)
_DOC = """
Trains a model on the news items of a day and pushes it to TensorFlow Serving. Each task runs one component of
TensorFlow Extended.

**Data** The first day of a run's data interval selects the span: `{{SPAN}}` in `data.train_pattern` is the number of
days since 1970-01-01, `{{YYYY}}`, `{{MM}}` and `{{DD}}` are the date. Without these placeholders, every run reads the
same files. Here: `{train}`.

**Repeat a day** To run a day again, clear `{first}` and its downstream tasks. Unchanged outputs come from the cache. If
you clear a successful task without `{first}`, it has nothing to do.

**Approval** With `promotion.require_approval`, the task `await_approval` waits for `agnews approve` without occupying a
worker.

**Failures** An error that a user must fix (data, settings, a refused push) fails the task at once, and the message says
what to do. Any other error is retried, including an unavailable database or volume. In the metadata store, the name of
a run consists of the DAG run's id and the start time of its first task.
"""


def build_dag(settings: Settings) -> DAG:
    """Builds the DAG of the pipeline from the settings."""
    times = settings.airflow
    upstream = plan(settings, Path(AIRFLOW_HOME) / "plans")
    first, last = next(iter(upstream)), list(upstream)[-1]
    dag = DAG(
        settings.pipeline.name,
        description="AG News: from news items to a servable model",
        doc_md=_DOC.format(train=settings.data.train_pattern or "no span in the files' names", first=first),
        tags=["tfx", "text classification"],
        schedule=times.schedule,
        start_date=timezone.make_aware(datetime.combine(times.start_date, datetime.min.time())),
        catchup=times.catchup,
        max_active_runs=1,
        default_view="graph",
        sla_miss_callback=functools.partial(_on_sla_miss, settings),
        default_args={
            "owner": settings.pipeline.name,
            "retries": times.retries,
            "retry_delay": timedelta(minutes=times.retry_minutes),
            "retry_exponential_backoff": True,
            "max_retry_delay": _LONGEST_WAIT,
            "execution_timeout": timedelta(minutes=times.task_minutes),
            "on_failure_callback": functools.partial(_on_failure, settings),
        },
    )
    tasks: dict[str, BaseOperator] = {}
    for component, waits_for in upstream.items():
        own: dict[str, Any] = {}
        if component in _TRAINING:
            own["execution_timeout"] = timedelta(minutes=times.training_minutes)
        if component == last:
            own["sla"] = timedelta(hours=times.sla_hours)
        task = ComponentTask(task_id=component, settings=settings, first=first, last=last, dag=dag, **own)
        task.set_upstream([tasks[name] for name in waits_for])
        tasks[component] = task
        if component == _REQUEST:
            # The next components must not read decisions before there are enough.
            tasks[component] = AwaitApproval(settings=settings, first=first, dag=dag)
            tasks[component].set_upstream(task)
    return dag


class ComponentTask(BaseOperator):
    """Runs one component. The XCom is the name of the run in the metadata store.

    Args:
        settings: all settings; the day of the DAG run replaces the span.
        first: id of the first task of the run.
        last: id of the last task of the run.
    """

    ui_color = "#e8f0fe"

    def __init__(self, *, settings: Settings, first: str, last: str, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        self.first = first
        self.last = last

    def execute(self, context) -> str:
        """Runs the component; does not retry an error that a user must fix, and skips a day without rows."""
        from pipeline.runners.airflow import tasks as airflow_tasks

        instance = context["ti"]
        if self.task_id == self.first:
            # The time makes a repeated day a new run of TFX; otherwise TFX would treat it as finished.
            run_id = f"{context['dag_run'].run_id}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        else:
            run_id = instance.xcom_pull(task_ids=self.first)
        day = context["data_interval_start"].in_timezone(self.dag.timezone).date()
        try:
            settings = airflow_tasks.for_day(self.settings, day)
            airflow_tasks.run_component(settings, self.task_id, run_id, instance)
            if self.task_id == _REQUEST and (awaited := airflow_tasks.awaited_approval(settings, run_id)):
                notify(settings, Event(Kind.WAITING, instance.run_id, awaited, instance.log_url))
            if self.task_id == self.last and (refusals := airflow_tasks.refusals(settings, run_id)):
                notify(settings, Event(Kind.NOT_BLESSED, instance.run_id, "\n".join(refusals), instance.log_url))
        except NothingToTrain as nothing:
            raise AirflowSkipException(str(nothing)) from None
        except Interrupted:
            raise AirflowTaskTerminated(f"{self.task_id} received SIGTERM") from None
        except AgNewsError as error:
            if error.may_pass:
                raise
            raise AirflowFailException(f"{self.task_id}: {error}") from None
        return run_id

    def on_kill(self) -> None:
        """Records SIGTERM; Airflow calls this in its signal handler, whose exception may be suppressed."""
        interrupt(signal.SIGTERM)


class AwaitApproval(BaseSensorOperator):
    """Waits until the run's model is approved or rejected, or needs no approval, without occupying a worker."""

    ui_color = "#fef7e0"

    def __init__(self, *, settings: Settings, first: str, **kwargs):
        super().__init__(
            task_id=AWAIT_APPROVAL,
            mode="reschedule",
            poke_interval=settings.airflow.approval_poll_minutes * 60,
            timeout=settings.airflow.approval_hours * 3600,
            **kwargs,
        )
        self.settings = settings
        self.first = first

    def poke(self, context) -> bool:
        """Returns whether the run can continue."""
        from pipeline.runners.airflow import tasks as airflow_tasks

        awaited = airflow_tasks.awaited_approval(self.settings, context["ti"].xcom_pull(task_ids=self.first))
        if awaited:
            self.log.info(awaited)
        return awaited is None


def plan(settings: Settings, directory: Path) -> dict[str, list[str]]:
    """Returns the components in execution order, each with the components that it waits for.

    The plan is read from `directory`, and written again when settings or code have changed. A separate process writes
    it. If Airflow's parse timeout ends this process, the other one continues, and the next parse finds the plan.

    Raises:
        RunError: the pipeline cannot be built; the message names the log.
    """
    file = directory / f"{settings.pipeline.name}-{_fingerprint(settings)}.json"
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True)
        log = file.with_suffix(".log")
        code = "import sys; from pipeline.runners.airflow import tasks; tasks.write_plan(sys.argv[1])"
        with open(log, "w") as output:
            maker = subprocess.Popen(
                [sys.executable, "-c", code, str(file)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                text=True,
            )
        # Passwords are masked in this JSON.
        maker.communicate(settings.model_dump_json())
        if maker.returncode:
            raise RunError(f"the pipeline cannot be built: {log.read_text().strip().splitlines()[-1]}; see {log}")
    return json.loads(file.read_text())


def _fingerprint(settings: Settings) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for package in (pipeline, components):
        for file in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _on_failure(settings: Settings, context) -> None:
    instance, error = context["ti"], context.get("exception")
    # AirflowFailException wraps one of our errors, whose type says what kind of failure it is.
    error = error.__context__ if isinstance(error, AirflowFailException) and error.__context__ else error
    event = Event.of_error(error, instance.run_id, instance.log_url)
    notify(settings, replace(event, message=f"{instance.task_id}: {event.message}"))


def _on_sla_miss(settings: Settings, dag, task_list, blocking_task_list, slas, blocking_tis) -> None:
    """Sends an alert for each late run, with the tasks that block it.

    Airflow dates a miss by the end of the late run's data interval, but looks for blocking tasks in the run of that
    date, which is the next run. Airflow also reports skipped days, which have no run.
    """
    due = {miss.execution_date: miss.task_id for miss in slas}
    session = object_session(slas[0])
    of_the_schedule = DagRun.dag_id == dag.dag_id, DagRun.run_type == DagRunType.SCHEDULED
    runs = select(DagRun).where(*of_the_schedule, DagRun.data_interval_end.in_(due)).order_by(DagRun.data_interval_end)
    for run in session.scalars(runs).all():
        last = due[run.data_interval_end]
        unfinished = {one.task_id: one for one in run.get_task_instances(session=session) if one.state not in _FINISHED}
        if last in unfinished:
            tasks = [task for task in dag.topological_sort() if task.task_id in unfinished]
            blocking = [unfinished[task.task_id] for task in tasks if not task.upstream_task_ids & unfinished.keys()]
            waits_for = ", ".join(f"{one.task_id} ({one.state or 'not begun'})" for one in blocking)
            notify(settings, Event(Kind.LATE, run.run_id, f"{last} waits for {waits_for}", blocking[0].log_url))
