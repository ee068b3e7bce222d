"""Tests the manager with a fake loader that the tests can pause. No graph is needed."""

import os
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import model_pb2

from serving.server.config import ModelServerConfig, single_model
from serving.server.errors import RequestError
from serving.server.manager import Manager, ManagerOptions
from serving.server.model_state import State
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.02


class FakeServable:
    """Replaces a Servable."""

    def __init__(self):
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


class Loader:
    """Loads a directory unless it contains a file "broken". It waits while `gate` is not set."""

    def __init__(self):
        self.loaded = {}
        self.tries = []
        self.unloaded = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, model, number, directory):
        self.tries.append(number)
        assert self.gate.wait(PATIENCE_SECONDS)
        if os.path.exists(f"{directory}/broken"):
            raise ValueError("the file is broken")
        self.loaded[number] = FakeServable()
        return self.loaded[number]


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def make_manager(loader):
    managers = []

    def make(**options):
        given = {"poll_seconds": POLL_SECONDS, "load_retries": 0, "retry_seconds": 0.01} | options
        managers.append(
            Manager(loader, ManagerOptions(**given), on_unload=lambda *version: loader.unloaded.append(version))
        )
        return managers[-1]

    yield make
    loader.gate.set()
    for manager in managers:
        manager.close(1)


@pytest.fixture
def base(tmp_path):
    (tmp_path / "m").mkdir()
    return tmp_path / "m"


@pytest.fixture
def manager(make_manager, base):
    """A manager that serves version 1 of the model m."""
    add(base, 1)
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    manager.wait_available()
    return manager


def add(base, number, broken=False):
    incoming = base / f".{number}"
    incoming.mkdir()
    if broken:
        (incoming / "broken").touch()
    incoming.rename(base / str(number))


def model_config(base, name="m", policy="", labels=""):
    from google.protobuf import text_format

    fields = f'name: "{name}" base_path: "{base}" model_platform: "tensorflow" {policy} {labels}'
    return text_format.Parse(f"model_config_list {{ config {{ {fields} }} }}", ModelServerConfig())


def spec(name="m", **fields):
    result = model_pb2.ModelSpec(name=name)
    if "version" in fields:
        result.version.value = fields["version"]
    if "label" in fields:
        result.version_label = fields["label"]
    return result


def states(manager, name="m"):
    try:
        response = manager.status(spec(name))
    except RequestError:
        return {}
    return {status.version: State.State.Name(status.state) for status in response.model_version_status}


def served(manager, **fields):
    with manager.borrow(spec(**fields)) as (version, _):
        return version.number


def error_of(call, *arguments, **named):
    with pytest.raises(RequestError) as caught:
        call(*arguments, **named)
    return caught.value.code.name, caught.value.message


def test_a_new_version_replaces_the_served_one(manager, base, loader):
    assert served(manager) == 1
    add(base, 2)
    wait_until(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})
    assert served(manager) == 2
    assert loader.loaded[1].closed.is_set()


def test_on_unload_is_called_for_unloaded_and_failed_versions(manager, base, loader):
    add(base, 2, broken=True)
    wait_until(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})
    assert loader.unloaded == []
    add(base, 3)
    wait_until(lambda: states(manager) == {1: "END", 2: "END", 3: "AVAILABLE"})
    wait_until(lambda: {("m", 1, f"{base}/1"), ("m", 2, f"{base}/2")} == set(loader.unloaded))


def test_the_old_version_serves_while_the_new_one_loads(manager, base, loader):
    loader.gate.clear()
    add(base, 2)
    wait_until(lambda: states(manager).get(2) == "LOADING")
    assert served(manager) == 1
    loader.gate.set()
    wait_until(lambda: states(manager)[2] == "AVAILABLE")


def test_a_request_keeps_its_version_in_memory(manager, base, loader):
    with manager.borrow(spec()) as (version, servable):
        add(base, 2)
        wait_until(lambda: states(manager) == {1: "UNLOADING", 2: "AVAILABLE"})
        assert (version.number, servable.closed.is_set()) == (1, False)
        assert served(manager) == 2
    wait_until(lambda: states(manager)[1] == "END")
    assert loader.loaded[1].closed.is_set()


def test_a_broken_version_does_not_replace_the_served_one(manager, base):
    add(base, 2, broken=True)
    wait_until(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})
    status = manager.status(spec(version=2)).model_version_status[0].status
    assert (status.error_code, status.error_message) == (grpc.StatusCode.INTERNAL.value[0], "the file is broken")
    assert served(manager) == 1


def test_a_server_starts_with_an_older_version_if_the_newest_is_broken(make_manager, base):
    add(base, 1)
    add(base, 2, broken=True)
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    manager.wait_available()
    assert served(manager) == 1


def test_a_version_is_retried_when_its_files_change(make_manager, base, loader):
    add(base, 1)
    add(base, 2, broken=True)
    manager = make_manager(load_retries=3, retry_seconds=3600)
    manager.apply(single_model("m", str(base)), expect_versions=False)
    wait_until(lambda: states(manager) == {1: "AVAILABLE", 2: "LOADING"})
    (base / "2" / "broken").unlink()
    wait_until(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})


def test_a_load_is_retried_load_retries_times(make_manager, base, loader):
    add(base, 1, broken=True)
    manager = make_manager(load_retries=2)
    manager.apply(single_model("m", str(base)), expect_versions=False)
    code, message = error_of(manager.wait_available)
    assert code == "UNKNOWN"
    assert "version 1: the file is broken" in message
    assert loader.tries == [1, 1, 1]


def test_deleting_a_version_serves_the_previous_one(make_manager, base):
    add(base, 1)
    add(base, 2)
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    manager.wait_available()
    (base / "2").rmdir()
    wait_until(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})


def test_an_unreadable_base_path_unloads_nothing(manager, base):
    base.rename(base.with_name("away"))
    polled = threading.Event()
    original = manager._reconcile
    manager._reconcile = lambda model: (original(model), polled.set())[0]
    assert polled.wait(PATIENCE_SECONDS)
    assert served(manager) == 1


def test_polling_continues_after_undecodable_names_and_unexpected_errors(manager, base, monkeypatch):
    strange = os.fsencode(base) + b"/\xff"
    os.mkdir(strange)
    failed = threading.Event()

    def broken(base_path):
        failed.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("serving.server.manager.list_versions", broken)
        assert failed.wait(PATIENCE_SECONDS)
    os.rmdir(strange)
    add(base, 2)
    wait_until(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})


def test_a_policy_can_serve_several_versions_with_labels(make_manager, base):
    for number in (1, 2, 3):
        add(base, number)
    manager = make_manager()
    policy = "model_version_policy { specific { versions: 1 versions: 3 } }"
    manager.apply(model_config(base, policy=policy), expect_versions=True)
    wait_until(lambda: states(manager) == {1: "AVAILABLE", 3: "AVAILABLE"})
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 3 }'
    manager.apply(model_config(base, policy=policy, labels=labels), expect_versions=True)
    assert (served(manager), served(manager, version=1)) == (3, 1)
    assert (served(manager, label="stable"), served(manager, label="canary")) == (1, 3)


def test_a_label_of_an_unavailable_version_is_rejected_unless_allowed(make_manager, base):
    add(base, 1)
    labelled = model_config(base, labels='version_labels { key: "stable" value: 1 }')
    strict, lax = make_manager(), make_manager(labels_for_unavailable=True)
    code, message = error_of(strict.apply, labelled, expect_versions=False)
    assert code == "FAILED_PRECONDITION"
    assert "label to version 1 of model m, which is not currently available" in message
    lax.apply(labelled, expect_versions=False)
    lax.wait_available()
    assert served(lax, label="stable") == 1


def test_a_label_in_use_cannot_move_to_an_unavailable_version(make_manager, base):
    add(base, 1)
    manager = make_manager(labels_for_unavailable=True)
    manager.apply(model_config(base, labels='version_labels { key: "stable" value: 1 }'), expect_versions=False)
    manager.wait_available()
    moved = model_config(base, labels='version_labels { key: "stable" value: 2 }')
    assert error_of(manager.apply, moved, expect_versions=False)[0] == "FAILED_PRECONDITION"
    assert served(manager, label="stable") == 1


def test_a_new_configuration_replaces_the_old_one(make_manager, base, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    add(base, 1)
    add(other, 5)
    manager = make_manager()
    manager.apply(model_config(base), expect_versions=True)
    manager.wait_available()
    manager.apply(model_config(other, name="o"), expect_versions=True)
    manager.wait_available()
    assert served(manager, name="o") == 5
    wait_until(lambda: states(manager) == {1: "END"})
    assert error_of(served, manager) == ("NOT_FOUND", "Servable not found for request: Latest(m)")
    manager.apply(model_config(base), expect_versions=True)
    manager.wait_available()
    assert served(manager) == 1


@pytest.mark.parametrize("policy", ["", "model_version_policy { specific { versions: 9 } }"])
def test_a_reload_without_a_version_to_serve_is_rejected(make_manager, base, tmp_path, policy):
    add(base, 1)
    manager = make_manager()
    manager.apply(model_config(base), expect_versions=True)
    manager.wait_available()
    path = base if policy else tmp_path / "gone"
    assert error_of(manager.apply, model_config(path, policy=policy), expect_versions=True)[0] == "NOT_FOUND"
    assert manager.config == model_config(base)
    assert served(manager) == 1


@pytest.mark.parametrize(
    ("selection", "error"),
    [
        ({"name": ""}, ("INVALID_ARGUMENT", "ModelSpec has no name specified.")),
        ({"name": "x"}, ("NOT_FOUND", "Servable not found for request: Latest(x)")),
        ({"name": "../m"}, ("NOT_FOUND", "Servable not found for request: Latest(../m)")),
        ({"version": 7}, ("NOT_FOUND", "Servable not found for request: Specific(m, 7)")),
        ({"version": -1}, ("NOT_FOUND", "Servable not found for request: Specific(m, -1)")),
        ({"label": "x"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: x")),
    ],
)
def test_unknown_models_and_versions_get_tensorflow_servings_errors(make_manager, base, selection, error):
    add(base, 1)
    manager = make_manager()
    manager.apply(model_config(base), expect_versions=True)
    manager.wait_available()
    assert error_of(served, manager, **selection) == error


def test_wait_available_ends_at_the_deadline(make_manager, base):
    manager = make_manager()
    manager.apply(model_config(base), expect_versions=False)
    assert error_of(manager.wait_available, time.monotonic() + 0.05)[0] == "DEADLINE_EXCEEDED"


def only(number):
    return f"model_version_policy {{ specific {{ versions: {number} }} }}"


def test_wait_available_ignores_versions_of_the_old_configuration(make_manager, base, loader):
    add(base, 1)
    add(base, 2)
    manager = make_manager()
    manager.apply(model_config(base, policy=only(1)), expect_versions=True)
    manager.wait_available()
    loader.gate.clear()
    manager.apply(model_config(base, policy=only(2)), expect_versions=True)
    assert error_of(manager.wait_available, time.monotonic() + 0.05)[0] == "DEADLINE_EXCEEDED"
    loader.gate.set()
    manager.wait_available()
    assert served(manager) == 2


def test_the_old_version_serves_if_the_new_configuration_fails_to_load(make_manager, base):
    add(base, 1)
    add(base, 2, broken=True)
    manager = make_manager()
    manager.apply(model_config(base, policy=only(1)), expect_versions=True)
    manager.wait_available()
    manager.apply(model_config(base, policy=only(2)), expect_versions=True)
    code, message = error_of(manager.wait_available, time.monotonic() + PATIENCE_SECONDS)
    assert (code, "version 2: the file is broken" in message) == ("UNKNOWN", True)
    assert served(manager) == 1


def test_wait_available_ends_when_a_version_arrives(make_manager, base):
    manager = make_manager()
    manager.apply(model_config(base), expect_versions=False)
    waiting = threading.Thread(target=manager.wait_available)
    waiting.start()
    add(base, 4)
    waiting.join(PATIENCE_SECONDS)
    assert served(manager) == 4


def test_the_reason_for_waiting_is_logged_once_until_it_changes(make_manager, loader, tmp_path, caplog):
    def logged():
        return [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]

    base = tmp_path / "late"
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    wait_until(logged)
    time.sleep(10 * POLL_SECONDS)
    assert logged() == [
        f"waiting for a version to serve model=m: {base} does not exist: create it, or give the "
        "directory that contains the versions"
    ]
    base.mkdir()
    wait_until(lambda: len(logged()) == 2)
    assert "contains no version" in logged()[1]
    add(base, 1)
    manager.wait_available()
    assert len(logged()) == 2
