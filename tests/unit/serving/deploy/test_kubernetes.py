"""Validates the manifests against the schemas of Kubernetes in the package kubernetes-validate."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.logged_push import log_push

OVERLAYS = ("staging", "production")


def validate(document):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def merged(document, patch):
    """Applies a strategic merge patch: merges maps by key and lists of named objects by name."""
    if isinstance(patch, dict):
        return document | {key: merged(document.get(key), value) for key, value in patch.items()}
    if isinstance(patch, list) and isinstance(document, list):
        named = {entry["name"]: entry for entry in document}
        return list((named | {entry["name"]: merged(named[entry["name"]], entry) for entry in patch}).values())
    return patch


def replaced(document, operations):
    """Applies a JSON patch (RFC 6902) that only replaces values."""
    document = copy.deepcopy(document)
    for operation in operations:
        assert operation["op"] == "replace"
        *path, last = [int(part) if part.isdecimal() else part for part in operation["path"].split("/")[1:]]
        place = document
        for part in path:
            place = place[part]
        assert place[last] != operation["value"]
        place[last] = operation["value"]
    return document


def patched(deploy, manifests, overlay, file):
    """Returns a base manifest with the patch of an overlay."""
    patch = yaml.safe_load((deploy / f"kubernetes/overlays/{overlay}/{file}").read_text())
    if isinstance(patch, list):
        return replaced(manifests["Deployment", "tf-serving"], patch)
    return merged(manifests[patch["kind"], patch["metadata"]["name"]], patch)


def test_the_base_has_all_kinds_of_objects(manifests):
    kinds = {kind for kind, _ in manifests}
    wanted = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PersistentVolumeClaim"}
    assert kinds == wanted
    for document in manifests.values():
        validate(document)


def test_the_schema_finds_a_misspelt_key(manifests):
    document = copy.deepcopy(manifests["Deployment", "tf-serving"])
    document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        validate(document)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("file", ["autoscaler.yaml", "deployment.yaml"])
def test_a_patched_manifest_is_valid_and_different(deploy, manifests, overlay, file):
    document = patched(deploy, manifests, overlay, file)
    validate(document)
    assert document != manifests[document["kind"], "tf-serving"]


def test_production_survives_a_drained_and_a_failed_node(deploy, manifests):
    autoscaler = patched(deploy, manifests, "production", "autoscaler.yaml")["spec"]
    budget = manifests["PodDisruptionBudget", "tf-serving"]["spec"]
    assert autoscaler["minReplicas"] - budget["maxUnavailable"] - 1 >= 1
    spread = patched(deploy, manifests, "production", "deployment.yaml")["spec"]["template"]["spec"]
    assert ("kubernetes.io/hostname", "DoNotSchedule") in [
        (constraint["topologyKey"], constraint["whenUnsatisfiable"])
        for constraint in spread["topologySpreadConstraints"]
    ]


def test_containers_have_limits_and_cannot_write_models(manifests):
    pod = manifests["Deployment", "tf-serving"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    for container in [*pod["containers"], *pod["initContainers"]]:
        assert {"cpu", "memory"} == container["resources"]["limits"].keys() == container["resources"]["requests"].keys()
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        [models] = [mount for mount in container["volumeMounts"] if mount["name"] == "models"]
        assert models["readOnly"]


def test_probes_wait_for_a_version_and_do_not_kill_slow_pods(manifests):
    [container] = manifests["Deployment", "tf-serving"]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/v1/models/agnews/metadata", "port": "rest"}
    assert "tcpSocket" in container["livenessProbe"]


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request, deploy):
    """The output of kustomize for an overlay. Skipped if kubectl, which contains kustomize, is not installed."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    command = [kubectl, "kustomize", str(deploy / f"kubernetes/overlays/{request.param}")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return request.param, list(yaml.safe_load_all(ended.stdout))


def test_kustomize_creates_valid_manifests_in_one_namespace(rendered):
    overlay, documents = rendered
    for document in documents:
        validate(document)
        assert document["metadata"]["namespace"] == f"agnews-{overlay}"


def test_selectors_match_the_pods_and_the_pods_use_the_config(rendered):
    _, documents = rendered
    by_kind = {document["kind"]: document for document in documents}
    pod = by_kind["Deployment"]["spec"]["template"]
    selectors = [document["spec"]["selector"] for document in documents if document["kind"] == "Service"]
    selectors += [by_kind[kind]["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")]
    for spread in pod["spec"]["topologySpreadConstraints"]:
        selectors.append(spread["labelSelector"]["matchLabels"])
    assert len(selectors) == 6
    for selector in selectors:
        assert selector
        assert selector.items() <= pod["metadata"]["labels"].items()
    [config] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "config"]
    assert config["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"] != "tf-serving-config"
    assert by_kind["ConfigMap"]["data"].keys() == {"batching_parameters.txt", "monitoring.config"}


def test_kustomize_and_this_test_apply_patches_alike(rendered, deploy, manifests):
    overlay, documents = rendered
    for file in ("autoscaler.yaml", "deployment.yaml"):
        ours = patched(deploy, manifests, overlay, file)
        [theirs] = [document for document in documents if document["kind"] == ours["kind"]]
        if ours["kind"] == "Deployment":
            ours, theirs = (document["spec"]["template"]["spec"]["containers"] for document in (ours, theirs))
        else:
            ours, theirs = ours["spec"], theirs["spec"]
        assert ours == theirs


@pytest.fixture
def pod_with(deploy, tmp_path):
    """Returns a function that renders the staging overlay with components, and returns the specification of its pod."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which contains kustomize, is not installed")

    def render(*components):
        shutil.copytree(deploy, tmp_path / "deploy")
        overlay = tmp_path / "deploy/kubernetes/overlays/own"
        overlay.mkdir()
        added = {"resources": ["../staging"], "components": [f"../../{name}" for name in components]}
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(added))
        shown = subprocess.run([kubectl, "kustomize", str(overlay)], check=True, capture_output=True, text=True).stdout
        documents = list(yaml.safe_load_all(shown))
        for document in documents:
            validate(document)
        [deployment] = [document for document in documents if document["kind"] == "Deployment"]
        return deployment["spec"]["template"]["spec"]

    return render


def test_the_component_adds_a_proxy_that_logs_requests(pod_with):
    containers = {entry["name"]: entry for entry in pod_with("request_log")["containers"]}
    assert containers.keys() == {"tf-serving", "request-log"}
    flags = dict(flag.split("=") for flag in containers["request-log"]["args"])
    grpc_port = next(p["containerPort"] for p in containers["tf-serving"]["ports"] if p["name"] == "grpc")
    assert flags["--server"] == f"localhost:{grpc_port}"
    assert flags["--port"] == str(containers["request-log"]["ports"][0]["containerPort"])


def test_the_component_verifies_models_after_a_promotion(pod_with):
    pod = pod_with("request_log", "verify")
    assert [entry["name"] for entry in pod["initContainers"]] == ["wait-for-promotion", "verify-models"]
    verify = pod["initContainers"][1]
    assert verify["image"] == next(c["image"] for c in pod["containers"] if c["name"] == "request-log")
    assert verify["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all(mount["readOnly"] for mount in verify["volumeMounts"])
    assert {mount["name"] for mount in verify["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("keys", ["none", "own", "other"])
@pytest.mark.parametrize("tampered", [False, True])
def test_the_command_of_the_component_stops_pods_with_other_files(deploy, tmp_path, tampered, keys):
    """Runs it as the manifest has it, with other directories."""
    models, directory = tmp_path / "models", tmp_path / "keys"
    version = models / "agnews/1"
    version.mkdir(parents=True)
    directory.mkdir()
    (version / "saved_model.pb").write_bytes(b"model")
    key = Ed25519PrivateKey.generate()
    log_push(version, key)
    if keys != "none":
        public = (key if keys == "own" else Ed25519PrivateKey.generate()).public_key()
        (directory / "signing.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    if tampered:
        (version / "saved_model.pb").write_bytes(b"other")
    [added, _] = yaml.safe_load((deploy / "kubernetes/verify/deployment.yaml").read_text())
    command = [
        word.replace("/models", str(models)).replace("/keys", str(directory)) for word in added["value"]["command"]
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"PATH": path})
    assert ended.returncode == (10 if tampered or keys == "other" else 0), ended.stdout + ended.stderr
    assert ("saved_model.pb" in ended.stderr) == tampered
