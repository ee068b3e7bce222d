"""The DAG that Airflow schedules: one task a component, quick to parse.

Airflow parses a DAG file every half a minute and again in each task; TensorFlow Extended takes ten seconds to import.
So what is parsed is a plan of the pipeline, made once and kept in a file: which components there are and what they wait
for. A task imports TFX when it runs, and has TFX's own runner for Airflow build and run its component then
(`pipeline.runners.airflow.tasks`), for the settings of its day.
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
From a day's news items to a model that TensorFlow Serving can serve; one task a component of TensorFlow Extended.

**Which data** The day on which a run's data interval begins selects the span: `{{SPAN}}` in `data.train_pattern` is
the number of days since 1970-01-01, `{{YYYY}}`, `{{MM}}` and `{{DD}}` are the date. Without either, every run takes the
files as they are. Here: `{train}`.

**Again** To run a day anew, clear `{first}` with what is downstream: what has not changed comes from the cache. A task
that is cleared without it, and had ended well, has nothing to do.

**Approval** With `promotion.require_approval` the task `await_approval` waits, without a worker, for `agnews approve`.

**Failures** What a user must mend (data, settings, a refused push) fails at once and says what to do; all else is tried
again, also where a database or a volume was away. In the metadata store a run is named after the DAG run and the time
at which its first task began.
"""


def build_dag(settings: Settings) -> DAG:
    """The DAG of the pipeline that the settings describe."""
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
            # The components after it must not look for decisions before there are enough.
            tasks[component] = AwaitApproval(settings=settings, first=first, dag=dag)
            tasks[component].set_upstream(task)
    return dag


class ComponentTask(BaseOperator):
    """Runs one component. Its XCom is the name of the run in the metadata store.

    Args:
        settings: all settings; the span is that of the DAG run's day.
        first: id of the task that begins the run.
        last: id of the task that ends it.
    """

    ui_color = "#e8f0fe"

    def __init__(self, *, settings: Settings, first: str, last: str, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        self.first = first
        self.last = last

    def execute(self, context) -> str:
        """Runs the component; what a user must mend is not tried again, and a day without rows is skipped."""
        from pipeline.runners.airflow import tasks as airflow_tasks

        instance = context["ti"]
        if self.task_id == self.first:
            # A time in the name: a day that is run anew is a new run of TFX, which would else take it as done.
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
        """Remembers SIGTERM: Airflow calls this in its signal handler, and what that raises may be dropped."""
        interrupt(signal.SIGTERM)


class AwaitApproval(BaseSensorOperator):
    """Waits until the run's model was approved or rejected, or needs no approval; holds no worker meanwhile."""

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
        """Whether the run may go on."""
        from pipeline.runners.airflow import tasks as airflow_tasks

        awaited = airflow_tasks.awaited_approval(self.settings, context["ti"].xcom_pull(task_ids=self.first))
        if awaited:
            self.log.info(awaited)
        return awaited is None


def plan(settings: Settings, directory: Path) -> dict[str, list[str]]:
    """The components in the order in which they run, each with those that it waits for.

    Made anew when settings or code have changed; else read from `directory`. It is made by a process of its own, which
    goes on where Airflow's limit for a parse ends this one: the next parse then finds the plan.

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
        # Passwords are masked in it.
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
    # What Airflow is told stands for an error of ours, whose type says what kind of failure it is.
    error = error.__context__ if isinstance(error, AirflowFailException) and error.__context__ else error
    event = Event.of_error(error, instance.run_id, instance.log_url)
    notify(settings, replace(event, message=f"{instance.task_id}: {event.message}"))


def _on_sla_miss(settings: Settings, dag, task_list, blocking_task_list, slas, blocking_tis) -> None:
    """Tells of each late run, and which of its tasks the others wait for.

    Airflow dates a miss by the end of the late run's data interval, and looks for what blocks in the run of that date,
    which is the one after. It counts days that were left out as well: those have no run.
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
