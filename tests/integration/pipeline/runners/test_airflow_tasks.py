"""Runs tasks of the DAG file in Airflow's own environment, with a script in place of the command."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from tests.support import ROOT

pytestmark = pytest.mark.airflow

PYTHON = ROOT / ".venv-airflow/bin/python"
STATUS = {
    "done": 0,
    "nothing_to_train": 13,
    "waiting_for_approval": 8,
    "change_found": 11,
    "try_again": [1, 75],
    "user_error": [2, 3, 4, 5, 9, 11],
}
LIMITS = {"First": 30, "Trainer": 90, "RequestApproval": None}
# Replaces `agnews`: its first argument is the name of a function.
COMMAND = """#!{python}
import os, signal, subprocess, sys, time
def end(status, *_): print("Error: what to do\\nstatus " + status, flush=True); sys.exit(int(status))
def signalled(*_): os.kill(os.getpid(), signal.SIGKILL)
def arguments(*given): print(" ".join(given), os.getcwd())
def stubborn(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])
    print("started", flush=True)
    time.sleep(600)
globals()[sys.argv[1]](*sys.argv[2:])
"""
# The operator for pods looks for a cluster; nothing listens there.
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
"""
# What the tests do in Airflow's environment.
PRELUDE = """
import json, logging, os, runpy, signal, sys, threading, time
from datetime import UTC, datetime
from types import SimpleNamespace
logging.basicConfig(stream=sys.stderr)
dags = SimpleNamespace(**runpy.run_path(os.environ["DAG_FILE"]))
def context(**run):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    run = dict(run_type="scheduled", run_id="r", clear_number=0, data_interval_start=begin) | run
    run = dict(triggering_user_name=None) | run
    return {"dag_run": SimpleNamespace(**run), "ti": SimpleNamespace(task_id="First")}
"""


@pytest.fixture(scope="module")
def in_airflow(tmp_path_factory):
    """A function that runs Python in Airflow's environment, and returns what it prints as JSON."""
    if not PYTHON.exists():
        pytest.fail("Airflow is not installed: scripts/setup.sh airflow")
    directory = tmp_path_factory.mktemp("airflow")
    command = directory / "agnews"
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o700)
    (directory / "kubeconfig").write_text(KUBECONFIG)

    def run(code, **settings):
        from pipeline.settings import Settings

        orchestrator = Settings.model_validate({"airflow": settings}).airflow.model_dump(mode="json")
        cluster = {"image": "agnews:1", "trainer_image": None, "namespace": "ml", "volume_claim": "models"}
        cluster |= {"mount_path": "/agnews", "cpu": "4", "memory": "8Gi", "accelerator": "nvidia.com/gpu"}
        cluster |= {"secret": "passwords", "secret_path": "/run/secrets/agnews"}
        plan = {
            "pipeline": "agnews",
            "command": [str(command)],
            "directory": str(directory),
            "options": ["--profile", "sample"],
            "components": {"First": [], "Trainer": ["First"], "RequestApproval": ["Trainer"]},
            "training": ["Trainer"],
            "approval": "RequestApproval",
            "exit_statuses": STATUS,
            "orchestrator": orchestrator | {"dated": True},
            "kubeflow": cluster | {"accelerator_count": 1},
        }
        (directory / "plan.json").write_text(json.dumps(plan))
        environment = {
            "AIRFLOW_HOME": str(directory / "home"),
            "AIRFLOW_AGNEWS_PLAN": str(directory / "plan.json"),
            "DAG_FILE": str(ROOT / "pipeline/runners/airflow/dag_file.py"),
            "KUBECONFIG": str(directory / "kubeconfig"),
            "PATH": "/usr/bin:/bin",
            "PYTHONWARNINGS": "ignore",
        }
        process = subprocess.run(
            [PYTHON, "-c", PRELUDE + code], env=environment, capture_output=True, text=True, timeout=300, cwd=directory
        )
        print(process.stderr)  # noqa: T201 - pytest shows it when a test fails
        assert process.returncode == 0
        return json.loads(process.stdout.splitlines()[-1])

    return run


def test_the_dags_are_as_the_settings_say(in_airflow):
    training, tasks, others = in_airflow(
        """
dag = dags.train
hours = dag.deadline[0].interval.total_seconds() / 3600
described = "First" in dag.doc_md
training = [dag.timetable.expression, dag.catchup, dag.max_active_runs, str(dag.start_date), hours, described]
tasks = {}
for task in dag.tasks:
    minutes = task.execution_timeout and task.execution_timeout.total_seconds() / 60
    delays = task.retry_delay.total_seconds() / 60, bool(task.retry_exponential_backoff)
    tasks[task.task_id] = [task.retries, *delays, minutes]
others = {name: vars(dags)[name].timetable.expression for name in ("batch", "monitor")}
print(json.dumps([training, tasks, others]))
""",
        schedule="30 4 * * *",
        timezone="Europe/Berlin",
        start_date="2026-02-01",
        catchup=True,
        retries=3,
        retry_minutes=2,
        task_minutes=30,
        training_minutes=90,
        sla_hours=6,
        batch_files="new/*.csv",
        monitor_logs="logs",
        monitor_schedule="15 * * * *",
    )
    midnight_in_berlin = "2026-01-31 23:00:00+00:00"
    assert training == ["30 4 * * *", True, 1, midnight_in_berlin, 6, True]
    # The task that waits for people has a time limit of its own.
    assert tasks == {name: [3, 2, True, limit] for name, limit in LIMITS.items()}
    assert others == {"batch": "30 4 * * *", "monitor": "15 * * * *"}


@pytest.mark.parametrize(("on_drift", "status"), [("stop", None), ("score", 11)])
def test_drifted_files_are_scored_only_if_the_settings_say_so(in_airflow, on_drift, status):
    changed = in_airflow(
        "print(json.dumps(dags.batch.get_task('check_drift').changed))",
        batch_files="new/*.csv",
        batch_on_drift=on_drift,
    )
    assert changed == status


def test_a_late_run_is_reported_by_the_command(in_airflow):
    [sent] = in_airflow(
        """
sent = []
dags.subprocess.run = lambda command, **options: sent.append([command[1:], options["cwd"] == dags.PLAN["directory"]])
dags.send_late_alert({"dag_run": {"dag_run_id": "day"}})
print(json.dumps(sent))
""",
        sla_hours=1.5,
    )
    message = "the run has not finished within 1.5 hours"
    assert sent == [["alert", "late", "day", message, "--profile", "sample"], True]


def test_the_exit_status_decides_between_skip_fail_and_retry(in_airflow):
    outcomes = in_airflow("""
outcomes = {}
for command in ("end 0", "end 13", "end 8", "end 3", "end 5", "end 1", "end 75", "end 143", "signalled"):
    task = dags.CommandTask(task_id="t", arguments=tuple(command.split()))
    try:
        outcomes[command] = task.execute(context())
    except Exception as error:
        outcomes[command] = f"{type(error).__name__}: {error}"
print(json.dumps(outcomes))
""")
    message = "Error: what to do"
    assert outcomes == {
        "end 0": False,
        "end 13": f"AirflowSkipException: {message}",
        "end 8": f"AirflowFailException: {message}",
        "end 3": f"AirflowFailException: {message}",
        "end 5": f"AirflowFailException: {message}",
        "end 1": f"AirflowException: {message} (exit status 1)",
        "end 75": f"AirflowException: {message} (exit status 75)",
        "end 143": f"AirflowException: {message} (exit status 143)",
        "signalled": "AirflowException:  (exit status -9)",
    }


def test_a_monitor_that_finds_a_change_does_not_fail(in_airflow):
    assert in_airflow("""
task = dags.CommandTask(task_id="t", arguments=("end", "11"), changed=11)
print(json.dumps(task.execute(context())))
""")


def test_a_run_by_hand_takes_the_day_before_its_logical_date(in_airflow):
    days = in_airflow(
        """
midnight = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)  # In Berlin.
runs = [
    context(data_interval_start=midnight),
    context(run_type="backfill", data_interval_start=midnight),
    context(run_type="manual", logical_date=midnight, data_interval_start=datetime(2026, 11, 25, tzinfo=UTC)),
    context(run_type="manual", logical_date=None, run_after=midnight, data_interval_start=None),
]
print(json.dumps([str(dags.day_of(run)) for run in runs]))
""",
        timezone="Europe/Berlin",
    )
    assert days == ["2026-03-02", "2026-03-02", "2026-03-01", "2026-03-01"]


def test_a_cleared_first_task_begins_another_run(in_airflow):
    names = in_airflow("""print(json.dumps([dags.run_name(context(clear_number=number)) for number in (0, 1)]))""")
    assert names == ["r.0", "r.1"]


def test_a_component_gets_run_span_log_and_whether_it_is_retried(in_airflow):
    commands = in_airflow("""
commands = []
for try_number in (1, 3):
    task = dags.ComponentTask(task_id="First")
    task.run_command = lambda context, *arguments: (commands.append(arguments), (0, ""))[1]
    run = context()
    run["ti"].__dict__.update(log_url="http://log", try_number=try_number, max_tries=2)
    task.execute(run)
print(json.dumps(commands))
""")
    given = ["component", "First", "--run", "r.0", "--log", "http://log", "--span", "2026-01-01"]
    assert commands == [[*given, "--will-retry"], given]


def test_the_user_who_starts_a_run_is_the_author_of_its_model(in_airflow):
    [command] = in_airflow("""
commands = []
task = dags.ComponentTask(task_id="First")
task.run_command = lambda context, *arguments: (commands.append(arguments), (0, ""))[1]
run = context(triggering_user_name="ann")
run["ti"].__dict__.update(log_url="http://log", try_number=3, max_tries=2)
task.execute(run)
print(json.dumps(commands))
""")
    assert command[-2:] == ["--by", "ann"]


def test_an_ended_task_ends_the_command_with_its_children(in_airflow):
    started = time.time()
    seconds, message = in_airflow("""
task = dags.CommandTask(task_id="t", arguments=("stubborn",))
signal.signal(signal.SIGTERM, lambda *_: task.on_kill())  # As Airflow's task runner does.
threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
started = time.monotonic()
try:
    task.execute(context())
except Exception as error:
    print(json.dumps([time.monotonic() - started, str(error)]))
""")
    assert message == "the task was ended"
    assert seconds < 10
    left = [one for one in psutil.process_iter(["cmdline", "create_time"]) if one.info["create_time"] > started]
    assert [one for one in left if one.info["cmdline"] in (["sleep", "600"], ["stubborn"])] == []


def test_a_pod_has_the_image_the_volume_and_the_resources_of_the_settings(in_airflow):
    first, trainer = in_airflow(
        """
from kubernetes.client import ApiClient
os.environ["AGNEWS_IDENTITY"] = "ann@here"
def pod(name):
    operator = dags.Pod(dags.ComponentTask(task_id=name), ["component", name])._operator
    return ApiClient().sanitize_for_serialization(operator.build_pod_request_obj())
print(json.dumps([pod("First"), pod("Trainer")]))
""",
        tasks="pod",
    )
    [container] = first["spec"]["containers"]
    assert (container["image"], container["command"], container["args"]) == (
        "agnews:1",
        ["agnews"],
        ["component", "First"],
    )
    assert container["volumeMounts"] == [
        {"mountPath": "/agnews", "name": "agnews"},
        {"mountPath": "/run/secrets/agnews", "name": "secret", "readOnly": True},
    ]
    assert first["spec"]["volumes"] == [
        {"name": "agnews", "persistentVolumeClaim": {"claimName": "models"}},
        {"name": "secret", "secret": {"secretName": "passwords"}},
    ]
    assert first["spec"]["securityContext"]["runAsUser"] == 10001
    assert {"name": "AGNEWS_IDENTITY", "value": "ann@here"} in container["env"]
    limits = trainer["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert not container.get("resources", {}).get("limits")


def test_a_pod_keeps_the_exit_status_of_its_container(in_airflow):
    outcomes = in_airflow(
        """
from kubernetes.client import models as k8s
outcomes = []
for status in (0, 3, 13):
    task = dags.CommandTask(task_id="t", arguments=("x",))
    pod = dags.Pod(task, ["x"])
    operator = pod._operator
    operator.is_istio_enabled = lambda *_: False
    operator.process_pod_deletion = lambda *_, **__: True
    operator._read_pod_events = operator._read_pod_container_states = lambda *_, **__: None
    operator.patch_already_checked = lambda *_, **__: None
    ended = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=status))
    container = k8s.V1ContainerStatus(image="i", image_id="i", name="base", ready=False, restart_count=0, state=ended)
    remote = k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", namespace="ml", annotations={}),
        spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base")]),
        status=k8s.V1PodStatus(phase="Failed" if status else "Succeeded", container_statuses=[container]),
    )
    operator.cleanup(remote, remote, context=None)
    outcomes.append(pod.status)
print(json.dumps(outcomes))
""",
        tasks="pod",
    )
    assert outcomes == [0, 3, 13]
