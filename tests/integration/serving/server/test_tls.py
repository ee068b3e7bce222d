"""Tests TLS and mutual TLS over gRPC with generated certificates."""

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.server import Flags, ModelServer
from tests.support.certificates import Authority
from tests.support.model_servers import QUICK, label_of, text_request


@pytest.fixture(scope="module")
def authority():
    return Authority("good")


@pytest.fixture(scope="module", params=[False, True], ids=["tls", "mutual"])
def secured(request, authority, tmp_path_factory, text_models):
    """Port of a server, and whether it requires client certificates."""
    root = tmp_path_factory.mktemp("tls")
    (root / "models").mkdir()
    (root / "models" / "1").symlink_to(text_models["World"])
    key, certificate = authority.issue("server")
    config = root / "ssl.config"
    lines = [("server_key", key), ("server_cert", certificate), ("custom_ca", authority.pem)]
    text = "\n".join(f'{name}: "{value.decode("ascii")}"'.replace("\n", "\\n") for name, value in lines)
    config.write_text(f"{text}\nclient_verify: {str(request.param).lower()}\n")
    socket = root / "grpc.sock"
    flags = Flags(
        **(QUICK | {"rest_api_port": -1}),
        model_name="agnews",
        model_base_path=str(root / "models"),
        ssl_config_file=str(config),
        grpc_socket_path=str(socket),
    )
    with ModelServer(flags) as server:
        yield server.grpc_port, request.param, socket


def ask(port, credentials):
    """Sends a request to a port or a Unix socket."""
    target = f"127.0.0.1:{port}" if isinstance(port, int) else f"unix:{port}"
    # A Unix socket has no host name for the certificate.
    options = [("grpc.ssl_target_name_override", "127.0.0.1")]
    channel = grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target)
    with channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return label_of(stub.Predict(text_request(["a"]), timeout=10))


def is_rejected(port, credentials):
    with pytest.raises(grpc.RpcError) as caught:
        ask(port, credentials)
    return caught.value.code().name == "UNAVAILABLE"


def test_valid_certificates_are_accepted(secured, authority):
    port, _, _ = secured
    assert ask(port, grpc.ssl_channel_credentials(authority.pem, *authority.issue("client"))) == "World"


def test_mutual_tls_rejects_clients_without_certificate(secured, authority):
    port, mutual, _ = secured
    credentials = grpc.ssl_channel_credentials(authority.pem)
    if mutual:
        assert is_rejected(port, credentials)
    else:
        assert ask(port, credentials) == "World"


def test_mutual_tls_rejects_certificates_of_another_ca(secured, authority):
    port, mutual, _ = secured
    credentials = grpc.ssl_channel_credentials(authority.pem, *Authority("other").issue("client"))
    if mutual:
        assert is_rejected(port, credentials)
    else:
        assert ask(port, credentials) == "World"


def test_a_client_that_trusts_another_ca_rejects_the_server(secured):
    assert is_rejected(secured[0], grpc.ssl_channel_credentials(Authority("other").pem))


def test_plain_text_is_rejected(secured):
    assert is_rejected(secured[0], None)


def test_the_unix_socket_has_the_same_credentials(secured, authority):
    socket = secured[2]
    assert is_rejected(socket, None)
    assert ask(socket, grpc.ssl_channel_credentials(authority.pem, *authority.issue("client"))) == "World"
