"""Airflow DAGs that run the pipeline's commands. Needs Airflow 3.3 or newer, and neither this project nor TFX.

Link or copy this file into Airflow's DAG folder, for instance as `agnews.py`, and write the plan next to it:
`agnews plan --output agnews.json`. The variable AGNEWS_PLAN can name another file.
"""

import ctypes
import json
import os
import signal
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import (
    DAG,
    BaseOperator,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    SyncCallback,
    task,
)
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskAwaitingInput,
)
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

PLAN = json.loads(Path(os.environ.get("AGNEWS_PLAN") or Path(__file__).with_suffix(".json")).read_text())
NAME = PLAN["pipeline"]
STATUS = PLAN["exit_statuses"]
SETTINGS = PLAN["airflow"]
ZONE = ZoneInfo(SETTINGS["timezone"])
FIRST = next(iter(PLAN["components"]))
APPROVE, REJECT, CHECK = "Approve", "Reject", "Check again"
# Less than the five seconds after which Airflow sends SIGKILL to a task.
_GRACE_SECONDS = 4
_PR_SET_PDEATHSIG = 1


class Process:
    """Runs a command as a process whose output goes to the task's log."""

    def __init__(self, operator: BaseOperator, arguments: list[str]):
        self._log = operator.log
        self._process = subprocess.Popen(
            [*PLAN["command"], *arguments],
            cwd=PLAN["directory"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            # The command also ends when SIGKILL ends this process.
            preexec_fn=lambda: ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )

    def wait(self, context) -> tuple[int, str]:
        """Waits for the end; returns the exit status and the last line of the output."""
        last = ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            last = line.rstrip() or last
            self._log.info("%s", line.rstrip())
        return self._process.wait(), last

    def end(self) -> None:
        """Ends the command, which ends its own children; kills all of them if that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)


class Pod(KubernetesPodOperator):
    """Runs a command in a pod; keeps the exit status instead of failing."""

    status: int | None = None

    def cleanup(self, pod, remote_pod, *arguments, **options) -> None:
        """Deletes the pod and keeps the exit status of its container."""
        for container in (remote_pod and remote_pod.status.container_statuses) or []:
            if container.name == self.base_container_name and container.state.terminated:
                self.status = container.state.terminated.exit_code
        try:
            super().cleanup(pod, remote_pod, *arguments, **options)
        except AirflowException:
            if self.status is None:
                raise


class RunsCommands(BaseOperator):
    """Runs `agnews` commands, in processes or in pods, and ends them when the task is ended."""

    _running: Any = None
    _ended = False

    def run_command(self, context, *arguments: str) -> tuple[int, str]:
        """Runs a command; returns the exit status and what to show if it is not 0."""
        self._running = Process(self, [*arguments, *PLAN["options"]])
        status, last = self._running.wait(context)
        if self._ended:
            raise AirflowException("the task was ended")
        return status, last

    def on_kill(self) -> None:
        """Ends the command on SIGTERM and after a timeout."""
        self._ended = True
        if self._running is not None:
            self._running.end()


def check(status: int, message: str) -> None:
    """Translates an exit status into the exception that makes Airflow skip, fail or retry the task."""
    if status == STATUS["nothing_to_train"]:
        raise AirflowSkipException(message)
    if status in STATUS["user_error"] or status == STATUS["waiting_for_approval"]:
        raise AirflowFailException(message)
    if status != STATUS["done"]:
        raise AirflowException(f"{message} (exit status {status})")


def day_of(context) -> date:
    """Returns the day that a run is about: the first day of its data interval, or yesterday without one."""
    run = context["dag_run"]
    start = run.data_interval_start or run.run_after - timedelta(days=1)
    return start.astimezone(ZONE).date()


def run_name(context) -> str:
    """Returns the name of the run in the metadata store, which the first task chooses.

    All tries of a run have the same name. If the first task is cleared, the name changes: components of a known name
    that have finished would do nothing.
    """
    run = context["dag_run"]
    return context["ti"].xcom_pull(task_ids=FIRST) or f"{run.run_id}.{run.clear_number}"


class ComponentTask(RunsCommands):
    """Runs one component of the pipeline. The XCom is the name of the run in the metadata store."""

    ui_color = "#e8f0fe"

    def execute(self, context) -> str:
        """Runs the component; skips the rest of a run without rows, and retries what may pass."""
        name = run_name(context)
        check(*self.run_component(context, name))
        return name

    def run_component(self, context, name: str) -> tuple[int, str]:
        """Runs the component of this task; returns the exit status and the last line of the output."""
        span = ["--span", day_of(context).isoformat()] if PLAN["dated"] else []
        return self.run_command(context, "component", self.task_id, "--run", name, *span)


class ApprovalTask(ComponentTask, HITLOperator):
    """Runs the approval gate when people have decided, here or by `agnews approve`.

    In between, the task occupies no worker. A decision in Airflow is recorded by the command, with the name of the user
    who is logged in.
    """

    ui_color = "#fef7e0"

    def __init__(self, **options: Any):
        super().__init__(
            subject=f"May {NAME} push this model?",
            body="The task's log names the model and its card. Decisions by `agnews approve` count, too.",
            options=[APPROVE, REJECT, CHECK],
            defaults=CHECK,
            params={"reason": Param("", type="string", description="Reason to record with the decision.")},
            **options,
        )

    def execute(self, context, until: str | None = None) -> str:
        """Runs the gate, and waits for an answer if it waits for a decision."""
        name = run_name(context)
        status, message = self.run_component(context, name)
        if status != STATUS["waiting_for_approval"]:
            check(status, message)
            return name
        now = datetime.now(UTC)
        until = until or (now + timedelta(hours=SETTINGS["approval_hours"])).isoformat()
        if now >= datetime.fromisoformat(until):
            raise AirflowFailException(f"no decision within {SETTINGS['approval_hours']} hours: {message}")
        upsert_hitl_detail(
            ti_id=context["ti"].id,
            options=self.options,
            subject=self.subject,
            body=f"{message}\n\n{self.body}",
            defaults=self.defaults,
            params=self.serialized_params,
        )
        raise TaskAwaitingInput(
            method_name="execute_complete",
            kwargs={"until": until},
            timeout=timedelta(minutes=SETTINGS["approval_poll_minutes"]),
        )

    def execute_complete(self, context, event: dict[str, Any], until: str | None = None) -> str:
        """Records the answer, if there is one, and runs the gate again."""
        [answer], user = event["chosen_options"], event.get("responded_by_user")
        if answer != CHECK and user:
            reason = (event.get("params_input") or {}).get("reason") or "no reason given"
            by = ("--by", user["name"], "--reason", f"{reason} (logged in to Airflow)")
            status, message = self.run_command(context, answer.lower(), run_name(context), *by)
            if status:
                self.log.error("the answer of %s was refused: %s", user["name"], message)
        return self.execute(context, until)


def report_late(context: dict[str, Any]) -> None:
    """Sends the alert for a run that is not finished in time."""
    run = context["dag_run"]["dag_run_id"]
    message = f"{run} has not finished within {SETTINGS['sla_hours']} hours"
    subprocess.run([*PLAN["command"], "alert", "late", run, message, *PLAN["options"]], cwd=PLAN["directory"], check=True)


with DAG(
    NAME,
    description="News items of a day to a model in service",
    tags=["tfx", "text classification"],
    schedule=CronDataIntervalTimetable(SETTINGS["schedule"], timezone=SETTINGS["timezone"]),
    start_date=datetime.combine(date.fromisoformat(SETTINGS["start_date"]), datetime.min.time(), ZONE),
    catchup=SETTINGS["catchup"],
    max_active_runs=1,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=SETTINGS["sla_hours"]),
        callback=SyncCallback(report_late),
    ),
    default_args={
        "owner": NAME,
        "retries": SETTINGS["retries"],
        "retry_delay": timedelta(minutes=SETTINGS["retry_minutes"]),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(hours=1),
    },
) as dag:
    tasks: dict[str, ComponentTask] = {}
    for component, waits_for in PLAN["components"].items():
        kind = ApprovalTask if component == PLAN["approval"] else ComponentTask
        minutes = SETTINGS["training_minutes" if component in PLAN["training"] else "task_minutes"]
        tasks[component] = kind(task_id=component, execution_timeout=timedelta(minutes=minutes))
        tasks[component].set_upstream([tasks[name] for name in waits_for])
