"""Tests the requests to a server of the official stubs that answers by a script."""

import pytest
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.promotion import PromotionError
from serving.promotion.remote import Server, ServerVersionState
from tests.support.model_service import ScriptedModelService, serve_model_service

_Status = get_model_status_pb2.ModelVersionStatus


@pytest.fixture(scope="module")
def listening():
    scripted = ScriptedModelService()
    with serve_model_service(scripted) as address:
        yield scripted, address


@pytest.fixture
def scripted(listening):
    listening[0].__init__()
    return listening[0]


@pytest.fixture
def server(listening):
    return Server(listening[1], timeout=5.0)


def test_a_model_that_the_server_does_not_know_has_no_states(server, scripted):
    assert server.states("agnews") == {}


def test_states_have_tensorflow_servings_names(server, scripted):
    scripted.states = [(_Status.LOADING, "")]
    assert server.states("agnews") == {7: ServerVersionState("LOADING", "")}


def test_a_version_is_waited_for(server, scripted):
    scripted.states = [(_Status.START, ""), (_Status.LOADING, ""), (_Status.AVAILABLE, "")]
    server.wait_until_available("agnews", 7)
    assert scripted.states == [(_Status.AVAILABLE, "")]


def test_a_version_that_failed_is_not_waited_for(server, scripted, monkeypatch):
    monkeypatch.setattr("serving.promotion.remote._LOOKS_SECONDS", 0.0)
    scripted.states = [(_Status.LOADING, ""), (_Status.END, "no such op")]
    with pytest.raises(PromotionError, match="cannot load version 7: no such op"):
        server.wait_until_available("agnews", 7)


def test_the_end_of_an_earlier_try_is_not_taken_for_the_outcome(server, scripted):
    scripted.states = [(_Status.END, "it was broken"), (_Status.LOADING, ""), (_Status.AVAILABLE, "")]
    server.wait_until_available("agnews", 7)


def test_a_version_that_is_left_is_waited_for_until_no_request_reaches_it(server, scripted):
    scripted.states = [(_Status.AVAILABLE, ""), (_Status.UNLOADING, "")]
    server.wait_until_gone("agnews", {7})
    assert scripted.states == [(_Status.UNLOADING, "")]
    scripted.states = [(_Status.AVAILABLE, "")]
    server.wait_until_gone("agnews", {8})


def test_waiting_ends(listening, scripted):
    scripted.states = [(_Status.LOADING, "")]
    with pytest.raises(PromotionError, match=r"does not serve version 7 after 0.3 s, its state is LOADING"):
        Server(listening[1], timeout=0.3).wait_until_available("agnews", 7)
    scripted.states = [(_Status.AVAILABLE, "")]
    Server(listening[1], timeout=0.3).wait_until_gone("agnews", {7})


def test_the_whole_config_is_sent(server, scripted):
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="agnews", base_path="/models/agnews")
    server.reload(config)
    assert scripted.configs == [config]


@pytest.mark.parametrize(
    ("error", "message"), [("in the answer", "not now"), ("no label", "FAILED_PRECONDITION: no label")]
)
def test_a_refused_config_is_an_error_with_the_servers_reason(server, scripted, error, message):
    scripted.reload_error = error
    with pytest.raises(PromotionError, match=message):
        server.reload(model_server_config_pb2.ModelServerConfig())


def test_a_server_that_is_not_there_is_named(unused_port):
    with pytest.raises(PromotionError, match=f"GetModelStatus at 127.0.0.1:{unused_port}: UNAVAILABLE"):
        Server(f"127.0.0.1:{unused_port}", timeout=5.0).states("agnews")


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_server_on_this_machine_is_reached_without_the_proxy(dead_proxy, listening, scripted):
    scripted.states = [(_Status.AVAILABLE, "")]
    assert Server(listening[1], timeout=5.0).states("agnews") == {7: ServerVersionState("AVAILABLE", "")}
