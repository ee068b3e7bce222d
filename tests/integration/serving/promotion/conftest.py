"""Fixtures with a serving directory of small versions, and a server that checks configs like TensorFlow Serving."""

import contextlib

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from serving.promotion import Deployment, PromotionError, Signature
from serving.promotion.config import parse, served_of
from serving.promotion.remote import ServerVersionState
from tests.support.logged_push import log_push


def _push(directory, number, *, whole=True, model_id=None):
    """Creates a version directory, and the log entry of its push if it is whole."""
    path = directory / str(number)
    (path / "variables").mkdir(parents=True)
    if whole:
        (path / "saved_model.pb").write_bytes(b"graph")
        (path / "variables/variables.index").write_bytes(b"index")
        (path / "variables/variables.data-00000-of-00001").write_bytes(b"data")
    if model_id is not None:
        (path / "assets.extra").mkdir()
        (path / "assets.extra/mlmd_uuid").write_text(str(model_id))
    if whole:
        log_push(path)
    return path


class StrictServer:
    """Applies a config like TensorFlow Serving: checks the labels before it loads anything.

    Args:
        directory: directory of the versions.
        broken: versions that look loadable and fail to load.
    """

    def __init__(self, directory, broken=()):
        self._directory = directory
        self.broken = set(broken)
        self.loaded = set()
        self.labels = {}
        self.refusals = []
        self.unreachable = False

    def reload(self, config):
        if self.unreachable:
            raise PromotionError("UNAVAILABLE")
        there = {int(path.name) for path in self._directory.iterdir() if path.name.isdecimal()}
        served = served_of(config, self._directory.name, there)
        for label, version in served.labels.items():
            # An unchanged label may keep a version that is not loaded: --allow_version_labels_for_unavailable_models.
            if version not in self.loaded and self.labels.get(label) != version:
                self.refusals.append(version)
                raise PromotionError(f"version {version} is not currently available, {label} cannot be assigned to it")
        self.labels = dict(served.labels)
        self.loaded = (served.versions & there) - self.broken

    def states(self, model_name):
        states = {version: ServerVersionState("AVAILABLE", "") for version in self.loaded}
        return states | {version: ServerVersionState("END", "it is broken") for version in self.broken}

    def wait_until_available(self, model_name, version):
        if version not in self.loaded:
            raise PromotionError(f"cannot load version {version}")

    def wait_until_gone(self, model_name, versions):
        assert not self.loaded & set(versions)

    def poll(self, path):
        """Reads the file like a polling server, which ignores a config that it refuses."""
        with contextlib.suppress(PromotionError):
            self.reload(parse(path.read_text(), path))


@pytest.fixture
def push():
    """Creates a version directory."""
    return _push


@pytest.fixture
def me():
    return Signature("me@here", "because")


@pytest.fixture
def store():
    config = mlmd.ConnectionConfig()
    config.fake_database.SetInParent()
    return MetadataStore(config)


@pytest.fixture
def directory(tmp_path):
    """Returns a directory with versions 1, 2 and 3 of the model `agnews`."""
    for number in (1, 2, 3):
        _push(tmp_path / "serving model/agnews", number)
    return tmp_path / "serving model/agnews"


@pytest.fixture
def deployment(directory, store):
    """Returns a deployment of the directory without a server, which waits without delay."""
    return Deployment(directory.parent, "agnews", store, pause=lambda seconds: None)


@pytest.fixture
def server(directory):
    """Returns a server that has loaded version 3, as it does without a config."""
    server = StrictServer(directory)
    server.loaded = {3}
    return server


@pytest.fixture
def served_by(deployment, server):
    """Returns the deployment with the server."""
    deployment.server = server
    return deployment
