"""The life of versions, with a loader that the test holds: no graph is needed to see who is served when."""

import os
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import model_pb2

from serving.server.config import ModelServerConfig, single_model
from serving.server.manager import Manager, ManagerOptions
from serving.server.status import RequestError
from serving.server.versions import State

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.02


class Loaded:
    """Stands for a servable."""

    def __init__(self):
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


class Loader:
    """Loads a directory unless it holds a file "broken"; waits where told to."""

    def __init__(self):
        self.loaded = {}
        self.tries = []
        self.left = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, model, number, directory):
        self.tries.append(number)
        assert self.gate.wait(PATIENCE_SECONDS)
        if os.path.exists(f"{directory}/broken"):
            raise ValueError("the file is broken")
        self.loaded[number] = Loaded()
        return self.loaded[number]


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def make_manager(loader):
    managers = []

    def make(**options):
        given = {"poll_seconds": POLL_SECONDS, "load_retries": 0, "retry_seconds": 0.01} | options
        managers.append(Manager(loader, ManagerOptions(**given), left=lambda *version: loader.left.append(version)))
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
    """One that serves version 1 of the model."""
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


def configured(base, name="m", policy="", labels=""):
    from google.protobuf import text_format

    text = f'model_config_list {{ config {{ name: "{name}" base_path: "{base}" {policy} {labels} }} }}'
    return text_format.Parse(text, ModelServerConfig())


def spec(name="m", **fields):
    made = model_pb2.ModelSpec(name=name)
    if "version" in fields:
        made.version.value = fields["version"]
    if "label" in fields:
        made.version_label = fields["label"]
    return made


def states(manager, name="m"):
    try:
        response = manager.status(spec(name))
    except RequestError:
        return {}
    return {status.version: State.State.Name(status.state) for status in response.model_version_status}


def until(condition):
    """Waits for what a thread of the manager will do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(POLL_SECONDS / 2)


def served(manager, **fields):
    with manager.use(spec(**fields)) as (version, _):
        return version.number


def refusal(call, *arguments, **named):
    with pytest.raises(RequestError) as caught:
        call(*arguments, **named)
    return caught.value.code.name, caught.value.message


def test_the_latest_version_is_served_and_the_next_takes_its_place(manager, base, loader):
    assert served(manager) == 1
    add(base, 2)
    until(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})
    assert served(manager) == 2
    assert loader.loaded[1].closed.is_set()


def test_a_version_that_left_memory_or_never_came_in_is_told(manager, base, loader):
    add(base, 2, broken=True)
    until(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})
    assert loader.left == []
    add(base, 3)
    until(lambda: states(manager) == {1: "END", 2: "END", 3: "AVAILABLE"})
    until(lambda: {("m", 1, f"{base}/1"), ("m", 2, f"{base}/2")} == set(loader.left))


def test_the_old_version_answers_while_the_new_one_loads(manager, base, loader):
    loader.gate.clear()
    add(base, 2)
    until(lambda: states(manager).get(2) == "LOADING")
    assert served(manager) == 1
    loader.gate.set()
    until(lambda: states(manager)[2] == "AVAILABLE")


def test_a_request_in_flight_keeps_its_version_until_it_is_done(manager, base, loader):
    with manager.use(spec()) as (version, servable):
        add(base, 2)
        until(lambda: states(manager) == {1: "UNLOADING", 2: "AVAILABLE"})
        assert (version.number, servable.closed.is_set()) == (1, False)
        assert served(manager) == 2
    until(lambda: states(manager)[1] == "END")
    assert loader.loaded[1].closed.is_set()


def test_a_broken_version_never_takes_the_place_of_a_good_one(manager, base):
    add(base, 2, broken=True)
    until(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})
    status = manager.status(spec(version=2)).model_version_status[0].status
    assert (status.error_code, status.error_message) == (grpc.StatusCode.INTERNAL.value[0], "the file is broken")
    assert served(manager) == 1


def test_a_server_that_starts_beside_a_broken_newest_version_serves_the_one_before(make_manager, base):
    add(base, 1)
    add(base, 2, broken=True)
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    manager.wait_available()
    assert served(manager) == 1


def test_a_version_whose_files_change_is_tried_again(make_manager, base, loader):
    add(base, 1)
    add(base, 2, broken=True)
    manager = make_manager(load_retries=3, retry_seconds=3600)
    manager.apply(single_model("m", str(base)), expect_versions=False)
    until(lambda: states(manager) == {1: "AVAILABLE", 2: "LOADING"})
    (base / "2" / "broken").unlink()
    until(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})


def test_a_load_is_tried_as_often_as_told(make_manager, base, loader):
    add(base, 1, broken=True)
    manager = make_manager(load_retries=2)
    manager.apply(single_model("m", str(base)), expect_versions=False)
    code, message = refusal(manager.wait_available)
    assert code == "UNKNOWN"
    assert "version 1: the file is broken" in message
    assert loader.tries == [1, 1, 1]


def test_a_deleted_version_makes_way_for_the_one_before(make_manager, base):
    add(base, 1)
    add(base, 2)
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    manager.wait_available()
    (base / "2").rmdir()
    until(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})


def test_a_base_path_that_cannot_be_read_unloads_nothing(manager, base):
    base.rename(base.with_name("away"))
    looked = threading.Event()
    original = manager._reconcile
    manager._reconcile = lambda model: (original(model), looked.set())[0]
    assert looked.wait(PATIENCE_SECONDS)
    assert served(manager) == 1


def test_a_name_that_is_no_text_and_an_error_that_nobody_thought_of_do_not_end_the_looking(manager, base, monkeypatch):
    strange = os.fsencode(base) + b"/\xff"
    os.mkdir(strange)
    failed = threading.Event()

    def broken(base_path):
        failed.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("serving.server.source.versions_on_disk", broken)
        assert failed.wait(PATIENCE_SECONDS)
    os.rmdir(strange)
    add(base, 2)
    until(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})


def test_policies_serve_several_versions_and_labels_name_them(make_manager, base):
    for number in (1, 2, 3):
        add(base, number)
    manager = make_manager()
    policy = "model_version_policy { specific { versions: 1 versions: 3 } }"
    manager.apply(configured(base, policy=policy), expect_versions=True)
    until(lambda: states(manager) == {1: "AVAILABLE", 3: "AVAILABLE"})
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 3 }'
    manager.apply(configured(base, policy=policy, labels=labels), expect_versions=True)
    assert (served(manager), served(manager, version=1)) == (3, 1)
    assert (served(manager, label="stable"), served(manager, label="canary")) == (1, 3)


def test_a_label_names_an_available_version_unless_allowed(make_manager, base):
    add(base, 1)
    labelled = configured(base, labels='version_labels { key: "stable" value: 1 }')
    strict, lax = make_manager(), make_manager(labels_for_unavailable=True)
    code, message = refusal(strict.apply, labelled, expect_versions=False)
    assert code == "FAILED_PRECONDITION"
    assert "label to version 1 of model m, which is not currently available" in message
    lax.apply(labelled, expect_versions=False)
    lax.wait_available()
    assert served(lax, label="stable") == 1


def test_a_label_in_use_is_not_moved_to_a_version_that_is_not_available(make_manager, base):
    add(base, 1)
    manager = make_manager(labels_for_unavailable=True)
    manager.apply(configured(base, labels='version_labels { key: "stable" value: 1 }'), expect_versions=False)
    manager.wait_available()
    moved = configured(base, labels='version_labels { key: "stable" value: 2 }')
    assert refusal(manager.apply, moved, expect_versions=False)[0] == "FAILED_PRECONDITION"
    assert served(manager, label="stable") == 1


def test_a_new_configuration_replaces_the_whole_one(make_manager, base, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    add(base, 1)
    add(other, 5)
    manager = make_manager()
    manager.apply(configured(base), expect_versions=True)
    manager.wait_available()
    manager.apply(configured(other, name="o"), expect_versions=True)
    manager.wait_available()
    assert served(manager, name="o") == 5
    until(lambda: states(manager) == {1: "END"})
    assert refusal(served, manager) == ("NOT_FOUND", "Servable not found for request: Latest(m)")
    manager.apply(configured(base), expect_versions=True)
    manager.wait_available()
    assert served(manager) == 1


@pytest.mark.parametrize("policy", ["", "model_version_policy { specific { versions: 9 } }"])
def test_a_reload_that_would_leave_nothing_to_serve_is_refused(make_manager, base, tmp_path, policy):
    add(base, 1)
    manager = make_manager()
    manager.apply(configured(base), expect_versions=True)
    manager.wait_available()
    path = base if policy else tmp_path / "gone"
    assert refusal(manager.apply, configured(path, policy=policy), expect_versions=True)[0] == "NOT_FOUND"
    assert manager.config == configured(base)
    assert served(manager) == 1


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        ({"name": ""}, ("INVALID_ARGUMENT", "ModelSpec has no name specified.")),
        ({"name": "x"}, ("NOT_FOUND", "Servable not found for request: Latest(x)")),
        ({"name": "../m"}, ("NOT_FOUND", "Servable not found for request: Latest(../m)")),
        ({"version": 7}, ("NOT_FOUND", "Servable not found for request: Specific(m, 7)")),
        ({"version": -1}, ("NOT_FOUND", "Servable not found for request: Specific(m, -1)")),
        ({"label": "x"}, ("INVALID_ARGUMENT", "Unrecognized servable version label: x")),
    ],
)
def test_what_is_not_there_is_refused_as_by_the_real_server(make_manager, base, asked, outcome):
    add(base, 1)
    manager = make_manager()
    manager.apply(configured(base), expect_versions=True)
    manager.wait_available()
    assert refusal(served, manager, **asked) == outcome


def test_waiting_ends_at_the_deadline(make_manager, base):
    manager = make_manager()
    manager.apply(configured(base), expect_versions=False)
    assert refusal(manager.wait_available, time.monotonic() + 0.05)[0] == "DEADLINE_EXCEEDED"


def only(number):
    return f"model_version_policy {{ specific {{ versions: {number} }} }}"


def test_the_version_of_a_former_configuration_does_not_end_the_wait_for_the_next(make_manager, base, loader):
    add(base, 1)
    add(base, 2)
    manager = make_manager()
    manager.apply(configured(base, policy=only(1)), expect_versions=True)
    manager.wait_available()
    loader.gate.clear()
    manager.apply(configured(base, policy=only(2)), expect_versions=True)
    assert refusal(manager.wait_available, time.monotonic() + 0.05)[0] == "DEADLINE_EXCEEDED"
    loader.gate.set()
    manager.wait_available()
    assert served(manager) == 2


def test_a_configuration_whose_only_version_does_not_load_ends_the_wait_and_the_former_version_serves(
    make_manager, base
):
    add(base, 1)
    add(base, 2, broken=True)
    manager = make_manager()
    manager.apply(configured(base, policy=only(1)), expect_versions=True)
    manager.wait_available()
    manager.apply(configured(base, policy=only(2)), expect_versions=True)
    code, message = refusal(manager.wait_available, time.monotonic() + PATIENCE_SECONDS)
    assert (code, "version 2: the file is broken" in message) == ("UNKNOWN", True)
    assert served(manager) == 1


def test_a_version_that_comes_later_ends_the_wait(make_manager, base):
    manager = make_manager()
    manager.apply(configured(base), expect_versions=False)
    waiting = threading.Thread(target=manager.wait_available)
    waiting.start()
    add(base, 4)
    waiting.join(PATIENCE_SECONDS)
    assert served(manager) == 4


def test_what_keeps_a_server_waiting_is_said_once_until_it_changes(make_manager, loader, tmp_path, caplog):
    def said():
        return [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]

    base = tmp_path / "late"
    manager = make_manager()
    manager.apply(single_model("m", str(base)), expect_versions=False)
    until(said)
    time.sleep(10 * POLL_SECONDS)
    assert said() == [
        f"waiting for a version to serve model=m: {base} does not exist: create it, or name the "
        "directory that holds the versions"
    ]
    base.mkdir()
    until(lambda: len(said()) == 2)
    assert "holds no version" in said()[1]
    add(base, 1)
    manager.wait_available()
    assert len(said()) == 2
