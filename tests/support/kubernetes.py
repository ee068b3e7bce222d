"""Objects of a real cluster for the tests: namespaces that enforce Pod Security, volumes on a node, and Jobs.

kubectl takes the cluster from KUBECONFIG. Volumes are directories of the node, so they need no storage class.
"""

import json
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Self

from tests.support.compiled_pipeline import Task

# What Kubeflow Pipelines adds to each container, and Pod Security `restricted` requires.
_LOCKED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_RESOURCES = {
    "resourceCpuLimit": ("limits", "cpu"),
    "resourceMemoryLimit": ("limits", "memory"),
    "resourceCpuRequest": ("requests", "cpu"),
    "resourceMemoryRequest": ("requests", "memory"),
}


class Namespace:
    """A namespace of the tests' own in which Kubernetes refuses pods that are not `restricted`.

    As a context manager, it is deleted at the end of the block, with its objects and its volumes.
    """

    def __init__(self, purpose: str, *, enforce: str = "restricted") -> None:
        self.name = f"agnews-test-{purpose}-{uuid.uuid4().hex[:6]}"
        labels = {"pod-security.kubernetes.io/enforce": enforce}
        kubectl("apply", "-f-", stdin=_list([_object("v1", "Namespace", self.name, labels=labels)]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kubectl("delete", "namespace", self.name, "--timeout=180s", timeout=200)
        volumes = json.loads(kubectl("get", "persistentvolumes", "--output=json"))["items"]
        for volume in volumes:
            if volume["spec"].get("claimRef", {}).get("namespace") == self.name:
                kubectl("delete", "persistentvolume", volume["metadata"]["name"], "--wait=false")

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Runs kubectl in this namespace; see `kubectl`."""
        return kubectl("--namespace", self.name, *arguments, **options)

    def apply(self, objects: Iterable[Mapping[str, Any]], *options: str) -> None:
        """Applies objects in this namespace, also those that name another one."""
        here = [one | {"metadata": one["metadata"] | {"namespace": self.name}} for one in objects]
        self.kubectl("apply", "-f-", *options, stdin=_list(here))

    def bind(self, claim: str, directory: str) -> None:
        """Makes a volume of a directory on the node, for one claim of this namespace."""
        volume = _object("v1", "PersistentVolume", f"{self.name}-{claim}") | {
            "spec": {
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": directory},
                "claimRef": {"namespace": self.name, "name": claim},
            }
        }
        kubectl("apply", "-f-", stdin=_list([volume]))

    def wait_ready(self, pod: str, seconds: int = 300) -> None:
        """Waits until a pod, or each of a kind with a label, is ready."""
        self.kubectl("wait", "--for=condition=Ready", pod, f"--timeout={seconds}s", timeout=seconds + 10)

    def execute(self, pod: str, *command: str, **options: Any) -> str:
        """Runs a command in a pod and returns its output."""
        return self.kubectl("exec", pod, "--", *command, **options)


def kubectl(*arguments: str, stdin: str = "", timeout: int = 120) -> str:
    """Runs kubectl, which must succeed, and returns its output."""
    ended = _run(arguments, stdin, timeout)
    assert ended.returncode == 0, f"kubectl {' '.join(arguments)}:\n{ended.stdout[-2000:]}{ended.stderr[-4000:]}"
    return ended.stdout


def try_kubectl(*arguments: str, timeout: int = 120) -> str:
    """Runs kubectl and returns its output, which is empty if it failed."""
    ended = _run(arguments, "", timeout)
    return "" if ended.returncode else ended.stdout


def _run(arguments, stdin, timeout):
    return subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )


def _list(objects):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def job(name: str, task: Task) -> dict[str, Any]:
    """Returns the Job of a task, with the pod that Kubeflow Pipelines makes of the compiled file."""
    resources: dict[str, dict[str, str]] = {}
    for key, value in task.container.get("resources", {}).items():
        if key in _RESOURCES:
            kind, what = _RESOURCES[key]
            resources.setdefault(kind, {})[what] = value
    context = task.kubernetes["securityContext"]
    user = {key: value if key == "runAsNonRoot" else int(value) for key, value in context.items()}
    volumes, mounts = [], []
    for one in task.kubernetes.get("pvcMount", ()):
        volumes.append({"name": "claim", "persistentVolumeClaim": {"claimName": one["constant"]}})
        mounts.append({"name": "claim", "mountPath": one["mountPath"]})
    for one in task.kubernetes.get("secretAsVolume", ()):
        volumes.append({"name": "secret", "secret": {"secretName": one["secretName"]}})
        mounts.append({"name": "secret", "mountPath": one["mountPath"], "readOnly": True})
    container = {
        "name": "main",
        "image": task.container["image"],
        # Argo starts commands with umask 000.
        "command": ["sh", "-c", 'umask 000 && exec "$0" "$@"', *task.command],
        "resources": resources,
        "securityContext": user | _LOCKED,
        "volumeMounts": mounts,
    }
    pod: dict[str, Any] = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    if seconds := task.kubernetes.get("activeDeadlineSeconds"):
        pod["activeDeadlineSeconds"] = int(seconds)
    return _object("batch/v1", "Job", name) | {"spec": {"backoffLimit": task.retries, "template": {"spec": pod}}}


def _object(version, kind, name, *, labels=None):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels or {}}}
