import socket

import pytest

from schema.errors import RunError
from serving.listening import host_port, listen, reserve


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80"), ("localhost", "localhost:80")],
)
def test_an_ipv6_address_has_brackets_before_a_port(host, shown):
    assert host_port(host, 80) == shown


def test_a_name_with_both_kinds_of_addresses_listens_on_ipv4():
    with listen("localhost", 0, "--host") as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_an_invalid_port_is_rejected():
    with pytest.raises(RunError, match=r"127.0.0.1:70000: .*; choose another address with --host"):
        listen("127.0.0.1", 70_000, "--host")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_nobody_else_can_bind_a_reserved_port_and_clients_are_refused():
    port = free_port()
    with reserve("127.0.0.1", port, "--port"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        for take in (listen, reserve):
            with pytest.raises(RunError, match=f"127.0.0.1:{port}: Address already in use; choose another"):
                take("127.0.0.1", port, "--port")
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port), reuse_port=True)  # As gRPC does by default.
    with listen("127.0.0.1", port, "--port"):
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_whose_server_just_ended_can_be_reserved():
    with listen("127.0.0.1", 0, "--port") as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server.accept()[0].close()  # The connection now waits in the state TIME_WAIT.
        assert client.recv(1) == b""
        client.close()
    reserve("127.0.0.1", port, "--port").close()
