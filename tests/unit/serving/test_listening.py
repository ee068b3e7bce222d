import pytest

from schema.errors import RunError
from serving.listening import host_port, listen


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
