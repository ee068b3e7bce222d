"""The files of serving/deploy, as fixtures."""

import re
from pathlib import Path

import pytest
import yaml

import serving

DEPLOY = Path(serving.__file__).parent / "deploy"


@pytest.fixture(scope="session")
def deploy():
    """The directory serving/deploy."""
    return DEPLOY


@pytest.fixture(scope="session")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="session")
def manifests():
    """Documents in kubernetes/base by kind and name."""
    files = sorted((DEPLOY / "kubernetes/base").glob("*.yaml"))
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return {(d["kind"], d["metadata"]["name"]): d for d in documents if d["kind"] != "Kustomization"}


@pytest.fixture(scope="session")
def server_flags(compose, manifests):
    """Flags of the server in Compose and in Kubernetes."""
    [pod] = manifests["Deployment", "tf-serving"]["spec"]["template"]["spec"]["containers"]
    in_compose = [re.sub(r"\$\{.*\}", "/models", flag) for flag in compose["services"]["tf-serving"]["command"]]
    return {"compose": in_compose, "kubernetes": pod["args"]}
