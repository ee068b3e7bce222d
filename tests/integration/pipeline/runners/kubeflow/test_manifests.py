"""Checks the manifests for runs on Kubeflow against Kubernetes' own schema and the Kubeflow profile."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from pipeline.runners import kubeflow as package
from pipeline.settings.sources import load

MANIFESTS = sorted((Path(package.__file__).parent / "manifests").glob("*.yaml"))
OBJECTS = [one for manifest in MANIFESTS for one in yaml.safe_load_all(manifest.read_text())]


@pytest.fixture(scope="module")
def settings():
    return load("kubeflow").settings


def named(kind, name):
    [found] = [one for one in OBJECTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_manifest_follows_the_schema_of_kubernetes(manifest):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("manifest", [one for one in OBJECTS if one["kind"] != "Service"], ids=lambda one: one["kind"])
def test_pods_are_restricted(manifest):
    """Pod Security `restricted`: Kubernetes refuses other pods where a namespace enforces it."""
    pod = manifest["spec"].get("template", manifest)["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_approvers_pod_mounts_what_the_pipelines_pods_mount(settings):
    pod = named("Pod", "agnews-approvals")
    [container] = pod["spec"]["containers"]
    assert container["image"] == settings.kubeflow.image
    sources = {one["name"]: one for one in pod["spec"]["volumes"]}
    mounted = {mount["mountPath"]: sources[mount["name"]] for mount in container["volumeMounts"]}
    claim = mounted[settings.kubeflow.mount_path]["persistentVolumeClaim"]
    assert claim["claimName"] == settings.kubeflow.volume_claim
    assert mounted[settings.kubeflow.secret_path]["secret"]["secretName"] == settings.kubeflow.secret


def test_the_server_has_the_address_the_database_and_the_user_of_the_profile(settings):
    metadata = settings.metadata
    [port] = named("Service", metadata.host)["spec"]["ports"]
    assert port["port"] == metadata.port
    [container] = named("StatefulSet", metadata.host)["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert (variables["POSTGRES_DB"], variables["POSTGRES_USER"]) == (metadata.database, metadata.user)
    assert variables["POSTGRES_PASSWORD_FILE"] == str(metadata.password_file)
