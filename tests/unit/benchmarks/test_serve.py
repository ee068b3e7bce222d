import pytest

from benchmarks.processes import Endpoint
from benchmarks.serve import ADDRESS, REAL, _running_servers
from schema.errors import SettingsError


@pytest.mark.parametrize(
    ("given", "grpc", "rest"),
    [
        ("localhost:8500", "localhost:8500", None),
        ("localhost:8500:8501", "localhost:8500", "localhost:8501"),
        ("[::1]:8500:8501", "[::1]:8500", "[::1]:8501"),
    ],
)
def test_the_address_of_a_server_names_its_ports(monkeypatch, given, grpc, rest):
    monkeypatch.setenv(ADDRESS, given)
    assert _running_servers() == {REAL: Endpoint(grpc, rest)}


@pytest.mark.parametrize("given", ["localhost", "::1:8500", "localhost:grpc", "a:1:2:3"])
def test_an_address_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv(ADDRESS, given)
    with pytest.raises(SettingsError, match="expected HOST:GRPC_PORT"):
        _running_servers()
