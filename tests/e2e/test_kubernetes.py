"""Runs the compiled pipeline and the model servers in pods of the cluster that KUBECONFIG names.

The namespaces enforce Pod Security `restricted`; images must be on the node. CONTRIBUTING.md has the variables.
"""

import base64
import os
import re
import secrets
import subprocess
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import yaml

from tests.support import ROOT
from tests.support.compiled_pipeline import CompiledPipeline
from tests.support.kubernetes import Namespace, job, kubectl, try_kubectl
from tests.support.small_run import SMALL_RUN, set_options
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

# By the name in the manifests. Defaults are the images that the manifests name.
IMAGES = {
    "agnews-pipeline": os.environ.get("PIPELINE_IMAGE", f"agnews-pipeline:{version('agnews-pipeline')}"),
    "postgres": os.environ.get("POSTGRES_IMAGE", "postgres:17"),
    "tensorflow/serving": os.environ.get("SERVING_IMAGE", "tensorflow/serving:2.19.1"),
}
MISSING = "KUBECONFIG is not set: set it to the file that names the cluster in which the tests may make pods"
MANIFESTS = ROOT / "pipeline/runners/kubeflow/manifests"
OVERLAYS = ROOT / "serving/deploy/kubernetes/overlays"
APPROVERS = "agnews-approvals"
SETTINGS = SMALL_RUN | {
    "data.train_pattern": "train.csv",
    "data.test_pattern": "test.csv",
    "transform.vocabulary_size": "2000",
    "promotion.require_approval": "true",
    "kubeflow.image": IMAGES["agnews-pipeline"],
    "kubeflow.cpu": "1",
    "kubeflow.memory": "4Gi",
}
OPTIONS = ["--profile", "kubeflow", *set_options(SETTINGS)]
WRITE_ROWS = """
from pathlib import Path
from components.example_gen.synthetic import write_synthetic
write_synthetic(Path("/agnews/data"), train_rows=400, test_rows=100, seed=7)
"""
# Asks over REST until its input ends, with a connection for each request; prints the statuses.
ASK = """
import json, sys, threading, urllib.error, urllib.request
body = json.dumps({"inputs": {"title": ["Oil prices rise"], "description": ["Crude hit a record"]}}).encode()
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.wait(0.2):
    try:
        with urllib.request.urlopen(sys.argv[1], body, timeout=10) as answer:
            print(answer.status, flush=True)
    except OSError as error:
        print(error, flush=True)
"""


def objects(text):
    """The objects of a manifest, with the images that the cluster has and volumes that need no storage class."""
    for name, image in IMAGES.items():
        text = re.sub(rf"image: {name}:.*", f"image: {image}", text)
    found = list(yaml.safe_load_all(text))
    for one in found:
        claims = (
            [one] if one["kind"] == "PersistentVolumeClaim" else one.get("spec", {}).get("volumeClaimTemplates", [])
        )
        for claim in claims:
            claim["spec"]["storageClassName"] = ""
    return found


def claim(name):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "5Gi"}},
        },
    }


@pytest.fixture(scope="module")
def directory():
    """A directory of the node, made and deleted by a pod that may do so, owned as pipeline and server expect."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail(MISSING)
    path = f"/var/tmp/agnews-test-{secrets.token_hex(4)}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "node"},
        "spec": {
            "securityContext": {"runAsUser": 0},
            "containers": [
                {
                    "name": "node",
                    "image": IMAGES["agnews-pipeline"],
                    "command": ["sleep", "infinity"],
                    "volumeMounts": [{"name": "node", "mountPath": "/node"}],
                }
            ],
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "node", "hostPath": {"path": path, "type": "DirectoryOrCreate"}}],
        },
    }
    with Namespace("node", enforce="privileged") as node:
        node.apply([pod])
        node.wait_ready("pod/node")
        node.execute("node", "sh", "-c", "cd /node && mkdir --parents shared/serving_model metadata")
        node.execute("node", "sh", "-c", "cd /node && chown -R 10001:10001 shared && chown 999 metadata")
        yield path
        node.execute("node", "sh", "-c", "rm -rf /node/*")


@pytest.fixture(scope="module")
def pipeline(directory):
    """The namespace of the pipeline: volume, secret, metadata store and the approvers' pod, as the guide says."""
    with Namespace("pipeline") as namespace:
        namespace.bind("agnews", f"{directory}/shared")
        namespace.bind("data-agnews-metadata-0", f"{directory}/metadata")
        password = base64.b64encode(secrets.token_hex(24).encode()).decode()
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agnews"}}
        namespace.apply([claim("agnews"), secret | {"data": {"metadata_password": password}}])
        namespace.apply(objects((MANIFESTS / "metadata.yaml").read_text()))
        namespace.apply(objects((MANIFESTS / "approvals_pod.yaml").read_text()))
        namespace.kubectl("rollout", "status", "statefulset/agnews-metadata", "--timeout=300s", timeout=310)
        namespace.wait_ready(f"pod/{APPROVERS}")
        namespace.execute(APPROVERS, "python", "-c", WRITE_ROWS, timeout=600)
        yield namespace


@pytest.fixture(scope="module")
def servers(directory):
    """The namespace of the model servers, from the staging overlay; they wait for a promotion."""
    with Namespace("servers") as namespace:
        namespace.bind("agnews-models", f"{directory}/shared/serving_model")
        namespace.apply(objects(kubectl("kustomize", str(OVERLAYS / "staging"))))
        yield namespace


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("compiled")
    command = [sys.executable, "-m", "pipeline", "kubeflow", "compile", *OPTIONS, "--output", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=1200, stdout=subprocess.DEVNULL)
    [file] = directory.iterdir()
    return CompiledPipeline(file.read_text())


def agnews(namespace, *arguments):
    """The output of a command that a person runs in the approvers' pod."""
    return namespace.execute(APPROVERS, "agnews", *arguments, *OPTIONS, timeout=600)


def run_job(namespace, task, at_log=None):
    """Runs a task as a Job; returns its seconds. `at_log` acts once on what the pod has written."""
    name = re.sub(r"\W", "-", task.name).lower()
    acted, started = at_log is None, time.monotonic()
    namespace.apply([job(name, task)])

    def ended():
        nonlocal acted
        if not acted:
            acted = at_log(try_kubectl("--namespace", namespace.name, "logs", f"job/{name}"))
        state = namespace.kubectl("get", f"job/{name}", "--output=jsonpath={.status.conditions[*].type}")
        return state if "Complete" in state or "Failed" in state else None

    state = wait_until(ended, 1800, 2)
    assert "Complete" in state, f"{task.name}: {namespace.kubectl('logs', f'job/{name}')[-4000:]}"
    return round(time.monotonic() - started)


@pytest.fixture(scope="module")
def story(pipeline, servers, compiled):
    story = SimpleNamespace(seconds={}, evicted=[], approved=[])
    parameters = {"author": "ann@here"}

    def evict_once(log):
        if "Going to run a new execution" not in log:
            return False
        pods = ["pod", "--selector=job-name=trainer", "--grace-period=1"]
        story.evicted.append(pipeline.kubectl("delete", *pods))
        return True

    def approve(log):
        if not (shown := re.search(r"agnews approvals approve (\d+)", log)):
            return False
        words = ["approvals", "approve", shown[1], "--by", "bob@here", "--reason", "good enough"]
        story.approved.append(agnews(pipeline, *words))
        return True

    acts = {"Trainer": evict_once, "RequestApproval": approve}
    tasks = [*compiled.tasks("first", parameters), compiled.end_task("first", parameters, "SUCCEEDED")]
    for task in tasks:
        story.seconds[task.name] = run_job(pipeline, task, acts.get(task.name))
        print(f"{task.name}: {story.seconds[task.name]} s", flush=True)  # noqa: T201 - the figures for the log
    listed = pipeline.execute(APPROVERS, "ls", "/agnews/serving_model/agnews").split()
    story.versions = [name for name in listed if name.isdecimal()]
    return story


@pytest.fixture(scope="module")
def served(story, pipeline, servers):
    """Serves the pushed version, then promotes it; returns what the servers said before, and a classified text."""
    waiting = servers.kubectl("logs", "--selector=app.kubernetes.io/name=tf-serving", "--container=wait-for-promotion")
    # Servers mount the directory under another path, so the first promotion must find a file with theirs.
    config = (ROOT / "serving/deploy/config/models.config").read_text()
    write = ["exec", "-i", APPROVERS, "--", "sh", "-c", "cat >/agnews/serving_model/models.config"]
    pipeline.kubectl(*write, stdin=config)
    servers.kubectl("rollout", "status", "deployment/tf-serving", "--timeout=300s", timeout=310)
    agnews(pipeline, "versions", "promote", story.versions[0], "--label", "stable")
    address = f"tf-serving-grpc.{servers.name}:8500"
    classify = ["agnews", "classify", "Oil prices rise", "--label", "stable", "--server", address]
    # Servers read the file every ten seconds.
    classified = wait_until(lambda: try_kubectl("--namespace", pipeline.name, "exec", APPROVERS, "--", *classify), 120)
    return waiting, classified


def test_all_tasks_end_well_and_push_one_version(story):
    assert len(story.seconds) == 17  # All components with those of the approval, and the end of the run.
    assert len(story.versions) == 1


def test_a_deleted_pod_of_the_trainer_is_replaced(story, pipeline):
    assert len(story.evicted) == 1
    pods = pipeline.kubectl("get", "job/trainer", "--output=jsonpath={.status.failed} {.status.succeeded}")
    assert pods == "1 1"


def test_the_audit_log_holds_the_approval_that_was_given_by_exec(story, pipeline):
    assert "approved by bob@here" in story.approved[0]
    assert "as written" in agnews(pipeline, "audit", "verify")


def test_no_file_on_the_volume_can_be_written_by_everybody(story, pipeline):
    found = ["find", "/agnews", "-path", "/agnews/data", "-prune", "-o", "-type", "f", "-perm", "-002", "-print"]
    assert pipeline.execute(APPROVERS, *found) == ""
    assert "/agnews/runs/" in pipeline.execute(APPROVERS, "find", "/agnews/runs", "-type", "f")


def test_servers_wait_for_models_and_follow_a_promotion(served):
    waiting, classified = served
    assert "waiting for /models/models.config" in waiting
    assert re.search("World|Sports|Business|Sci/Tech", classified)


def test_a_rollout_of_the_servers_fails_no_request(served, pipeline, servers):
    address = f"http://tf-serving.{servers.name}:8501/v1/models/agnews/labels/stable:predict"
    client = subprocess.Popen(
        ["kubectl", "--namespace", pipeline.name, "exec", "-i", APPROVERS, "--", "python", "-c", ASK, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    servers.kubectl("rollout", "restart", "deployment/tf-serving")
    servers.kubectl("rollout", "status", "deployment/tf-serving", "--timeout=300s", timeout=310)
    wait_until(lambda: len(servers.kubectl("get", "pods", "--output=name").split()) == 1, 300, 2)
    answers = client.communicate(timeout=60)[0].split("\n")[:-1]
    assert len(answers) > 10
    assert set(answers) == {"200"}


def test_the_production_overlay_is_accepted():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail(MISSING)
    with Namespace("production") as namespace:
        # A pod that is not restricted is a warning, because only the Deployment is applied.
        options = ["--dry-run=server", "--warnings-as-errors"]
        namespace.apply(objects(kubectl("kustomize", str(OVERLAYS / "production"))), *options)
