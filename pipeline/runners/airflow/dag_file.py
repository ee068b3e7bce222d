"""Airflow DAGs that run the pipeline's commands. Needs Airflow 3.3 or newer, and neither this project nor TFX.

Link or copy this file into Airflow's DAG folder, for instance as `agnews.py`, and write the plan next to it:
`agnews plan --output agnews.json`. The variable AIRFLOW_AGNEWS_PLAN can name another file.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

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
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskAwaitingInput
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

PLAN = json.loads(Path(os.environ.get("AIRFLOW_AGNEWS_PLAN") or Path(__file__).with_suffix(".json")).read_text())
NAME = PLAN["pipeline"]
COMPONENTS = PLAN["components"]
STATUS = PLAN["exit_statuses"]
SETTINGS = PLAN["orchestrator"]
ZONE = ZoneInfo(SETTINGS["timezone"])
FIRST = next(iter(COMPONENTS))
APPROVE, REJECT, CHECK = "Approve", "Reject", "Check again"
# Less than the five seconds after which Airflow sends SIGKILL to a task.
_GRACE_SECONDS = 4
_PR_SET_PDEATHSIG = 1
_DOC = """
Trains a model on the rows of a day and pushes it. Each task runs `agnews component`.

**Data** A scheduled or backfilled run takes the day of its data interval; a run by hand takes the day before its
logical date. Without dates in `data.train_pattern`, every run reads the same files.

**Repeat a day** To run a day again, clear `{first}` and its downstream tasks. Unchanged outputs come from the cache. If
you clear a finished task without `{first}`, it has nothing to do.

**Failures** An error that a user must fix fails the task at once, and the last line of its log says what to do. Any
other error is tried again. The XCom of each task is the name of the run in the metadata store.
"""


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
            # The command also ends if SIGKILL ends this process.
            preexec_fn=lambda: ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )

    def wait(self, context) -> tuple[int, str]:
        """Waits for the end; returns the exit status, and the last error in the output or its last line."""
        error = last = ""
        assert self._process.stdout is not None
        for line in map(str.rstrip, self._process.stdout):
            self._log.info("%s", line)
            last = line or last
            error = line if line.startswith("Error: ") else error
        return self._process.wait(), error or last

    def end(self) -> None:
        """Ends the command, which ends its own children; kills all of them if that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class Pod:
    """Runs a command in a pod with the image, the volume and the resources of the settings kubeflow.*."""

    def __init__(self, operator: BaseOperator, arguments: list[str]):
        # Imported here, because each task reads this file, and the import takes seconds.
        from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
        from kubernetes.client import models

        cluster = PLAN["kubeflow"]
        trains = operator.task_id in PLAN["training"]
        sizes = {"cpu": cluster["cpu"], "memory": cluster["memory"]} if trains else {}
        if trains and cluster["accelerator"]:
            sizes[cluster["accelerator"]] = str(cluster["accelerator_count"])
        limits = {name: size for name, size in sizes.items() if size}
        volumes, mounts = [], []
        if claim := cluster["volume_claim"]:
            source = models.V1PersistentVolumeClaimVolumeSource(claim)
            volumes.append(models.V1Volume(name="agnews", persistent_volume_claim=source))
            mounts.append(models.V1VolumeMount(name="agnews", mount_path=cluster["mount_path"]))
        if secret := cluster["secret"]:
            volumes.append(models.V1Volume(name="secret", secret=models.V1SecretVolumeSource(secret_name=secret)))
            mounts.append(models.V1VolumeMount(name="secret", mount_path=cluster["secret_path"], read_only=True))
        pod = self

        class Operator(KubernetesPodOperator):
            def cleanup(self, created, remote_pod, *arguments, **options):
                for container in (remote_pod and remote_pod.status.container_statuses) or []:
                    if container.name == self.base_container_name and container.state.terminated:
                        pod.status = container.state.terminated.exit_code
                try:
                    super().cleanup(created, remote_pod, *arguments, **options)
                except AirflowException:
                    if pod.status is None:
                        raise

        self.status: int | None = None
        self._operator = Operator(
            task_id=operator.task_id,
            name=f"{NAME}-{operator.task_id}".lower(),
            namespace=cluster["namespace"],
            image=(trains and cluster["trainer_image"]) or cluster["image"],
            cmds=["agnews"],
            arguments=arguments,
            container_resources=models.V1ResourceRequirements(requests=limits, limits=limits),
            volumes=volumes,
            volume_mounts=mounts,
            # The user of the image, see Dockerfile.
            security_context={"runAsUser": 10001, "runAsGroup": 10001, "runAsNonRoot": True},
            env_vars={name: value for name, value in os.environ.items() if name.startswith("AGNEWS_")},
        )

    def wait(self, context) -> tuple[int, str]:
        """Waits for the end of the pod; returns the exit status of its container."""
        self._operator.execute(context)
        return self.status or 0, "see the last lines of the pod's log"

    def end(self) -> None:
        """Deletes the pod, which sends SIGTERM to the command."""
        self._operator.on_kill()


class CommandTask(BaseOperator):
    """Runs an `agnews` command in a process or a pod, and ends it when the task is ended.

    Args:
        arguments: the command's arguments without the settings options; {YYYY}, {MM} and {DD} are the day of the run.
        changed: exit status that does not fail the task; its XCom is then true.
    """

    ui_color = "#e8f0fe"
    _running: Process | Pod | None = None
    _ended = False

    def __init__(self, *, arguments: tuple[str, ...] = (), changed: int | None = None, **options: Any):
        super().__init__(**options)
        self.arguments = arguments
        self.changed = changed

    def execute(self, context) -> Any:
        """Runs the command; returns whether it ended with the status `changed`."""
        day = day_of(context)
        values = {"{YYYY}": f"{day:%Y}", "{MM}": f"{day:%m}", "{DD}": f"{day:%d}"}
        arguments = []
        for argument in self.arguments:
            for placeholder, value in values.items():
                argument = argument.replace(placeholder, value)
            arguments.append(argument)
        status, message = self.run_command(context, *arguments)
        if status != self.changed:
            check(status, message)
        return status == self.changed

    def run_command(self, context, *arguments: str) -> tuple[int, str]:
        """Runs a command; returns the exit status, and what to show if it is not 0."""
        kind = Pod if SETTINGS["tasks"] == "pod" else Process
        self._running = kind(self, [*arguments, *PLAN["options"]])
        status, message = self._running.wait(context)
        if self._ended:
            raise AirflowException("the task was ended")
        return status, message

    def on_kill(self) -> None:
        """Ends the command on SIGTERM and after a timeout."""
        self._ended = True
        if self._running is not None:
            self._running.end()


def check(status: int, message: str) -> None:
    """Raises the exception that makes Airflow skip, fail or retry a task whose command ended with a status."""
    if status == STATUS["nothing_to_train"]:
        raise AirflowSkipException(message)
    if status in STATUS["user_error"] or status == STATUS["waiting_for_approval"]:
        raise AirflowFailException(message)
    if status != STATUS["done"]:
        raise AirflowException(f"{message} (exit status {status})")


def day_of(context) -> date:
    """Returns the day of a run: of its data interval, or the day before its logical date for a run by hand.

    For a run by hand, Airflow 3 takes the data interval from the present time, and has none without a logical date.
    """
    run = context["dag_run"]
    if run.run_type in ("scheduled", "backfill"):
        return run.data_interval_start.astimezone(ZONE).date()
    return ((run.logical_date or run.run_after).astimezone(ZONE) - timedelta(days=1)).date()


def run_name(context) -> str:
    """Returns the name of the run in the metadata store, which the first task chooses.

    All tries have the same name. It changes when the first task is cleared, since a component that has finished in a
    run does nothing in that run.
    """
    run = context["dag_run"]
    if context["ti"].task_id == FIRST:
        return f"{run.run_id}.{run.clear_number}"
    return context["ti"].xcom_pull(task_ids=FIRST)


class ComponentTask(CommandTask):
    """Runs one component of the pipeline. The XCom is the name of the run in the metadata store."""

    def execute(self, context) -> str:
        """Runs the component; skips the later tasks of a day without rows."""
        name = run_name(context)
        check(*self.run_component(context, name))
        return name

    def run_component(self, context, name: str) -> tuple[int, str]:
        """Runs the component of this task; returns the exit status, and what to show if it is not 0."""
        instance = context["ti"]
        options = ["--run", name, "--log", instance.log_url]
        if SETTINGS["dated"]:
            options += ["--span", day_of(context).isoformat()]
        if user := context["dag_run"].triggering_user_name:
            options += ["--by", user]
        if instance.try_number <= instance.max_tries:
            options.append("--will-retry")
        return self.run_command(context, "component", self.task_id, *options)


class ApprovalTask(ComponentTask, HITLOperator):
    """Requests an approval, and waits for enough decisions, made here or by a command, without using a worker.

    An answer in Airflow becomes the same record as one of the command, with the name of the user who is logged in.
    """

    ui_color = "#fef7e0"

    def __init__(self, **options: Any):
        super().__init__(
            subject=f"May {NAME} push this model?",
            body="The task's log names the model. A decision by `agnews approvals approve` or `reject` counts as well.",
            options=[APPROVE, REJECT, CHECK],
            defaults=CHECK,
            params={"reason": Param("", type="string", description="Reason to record with the decision.")},
            **options,
        )

    def execute(self, context, until: str | None = None) -> str:
        """Asks in Airflow if the model waits for a decision, until the time `until`."""
        name = run_name(context)
        status, message = self.run_component(context, name)
        if status != STATUS["waiting_for_approval"]:
            check(status, message)
            return name
        now = datetime.now(UTC)
        until = until or (now + timedelta(hours=SETTINGS["approval_hours"])).isoformat()
        if now >= datetime.fromisoformat(until):
            raise AirflowFailException(f"no decision within {SETTINGS['approval_hours']:g} hours: {message}")
        upsert_hitl_detail(
            ti_id=context["ti"].id,
            options=self.options,
            subject=self.subject,
            body=f"{message}\n\n{self.body}",
            defaults=self.defaults,
            params=self.serialized_params,
        )
        minutes = timedelta(minutes=SETTINGS["approval_poll_minutes"])
        raise TaskAwaitingInput(method_name="execute_complete", kwargs={"until": until}, timeout=minutes)

    def execute_complete(self, context, event: dict[str, Any], until: str | None = None) -> str:
        """Records the answer, if there is one, and looks for enough decisions again."""
        [answer], user = event["chosen_options"], event.get("responded_by_user")
        if answer != CHECK and user:
            reason = (event.get("params_input") or {}).get("reason") or "no reason given"
            by = ("--by", user["name"], "--reason", f"{reason} (logged in to Airflow)")
            status, message = self.run_command(context, "approvals", answer.lower(), run_name(context), *by)
            if status:
                self.log.error("the answer of %s was refused: %s", user["name"], message)
        return self.execute(context, until)


def send_late_alert(context: dict[str, Any]) -> None:
    """Sends the alert for a run that has not finished in time; Airflow calls it outside of a task."""
    run = context["dag_run"]["dag_run_id"]
    message = f"the run has not finished within {SETTINGS['sla_hours']:g} hours"
    command = [*PLAN["command"], "alert", "late", run, message, *PLAN["options"]]
    subprocess.run(command, cwd=PLAN["directory"], check=True)


def make_dag(name: str, description: str, schedule: Any, **options: Any) -> DAG:
    """Makes a DAG whose runs follow one after the other."""
    return DAG(
        name,
        description=description,
        tags=["tfx", "text classification"],
        schedule=schedule,
        start_date=datetime.combine(date.fromisoformat(SETTINGS["start_date"]), datetime.min.time(), ZONE),
        max_active_runs=1,
        default_args={
            "owner": NAME,
            "retries": SETTINGS["retries"],
            "retry_delay": timedelta(minutes=SETTINGS["retry_minutes"]),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(hours=1),
        },
        **options,
    )


# Airflow 3 makes no data intervals for a plain cron expression.
days = CronDataIntervalTimetable(SETTINGS["schedule"], timezone=SETTINGS["timezone"])
late = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(hours=SETTINGS["sla_hours"]),
    callback=SyncCallback(send_late_alert),
)
minutes = timedelta(minutes=SETTINGS["task_minutes"])

with make_dag(
    NAME,
    "Rows of a day to a model in service",
    days,
    catchup=SETTINGS["catchup"],
    deadline=late,
    doc_md=_DOC.format(first=FIRST),
) as train:
    tasks: dict[str, ComponentTask] = {}
    for component, waits_for in COMPONENTS.items():
        if component == PLAN["approval"]:
            tasks[component] = ApprovalTask(task_id=component)
        else:
            trains = component in PLAN["training"]
            limit = timedelta(minutes=SETTINGS["training_minutes"]) if trains else minutes
            tasks[component] = ComponentTask(task_id=component, execution_timeout=limit)
        tasks[component].set_upstream([tasks[name] for name in waits_for])

if SETTINGS["batch_files"]:
    with make_dag(f"{NAME}_batch", "Scores the files of a day", days, catchup=SETTINGS["catchup"]) as batch:
        drift = CommandTask(
            task_id="check_drift",
            arguments=("monitor", "--items", SETTINGS["batch_files"]),
            changed=STATUS["change_found"] if SETTINGS["batch_on_drift"] == "score" else None,
            execution_timeout=minutes,
        )
        score = CommandTask(
            task_id="score",
            arguments=("batch", SETTINGS["batch_files"], "--to", SETTINGS["batch_output"]),
            execution_timeout=minutes,
        )
        drift >> score

if SETTINGS["monitor_logs"]:
    hours = CronTriggerTimetable(SETTINGS["monitor_schedule"], timezone=SETTINGS["timezone"])
    with make_dag(f"{NAME}_monitor", "Checks the requests to the served model", hours, catchup=False) as monitor:
        requests = CommandTask(
            task_id="check_requests",
            arguments=("monitor", SETTINGS["monitor_logs"]),
            changed=STATUS["change_found"],
            execution_timeout=minutes,
        )
        if SETTINGS["monitor_trains"]:

            @task.short_circuit
            def has_changed(changed: bool) -> bool:
                """Skips the training if nothing has changed."""
                return changed

            has_changed(requests.output) >> TriggerDagRunOperator(
                task_id="train",
                trigger_dag_id=NAME,
                # One training per day: a change is found every hour until another model serves.
                trigger_run_id="change__{{ dag_run.run_after | ds }}",
                skip_when_already_exists=True,
            )
