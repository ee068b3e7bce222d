"""Tests how commands find a server and encrypt the connection."""

import json

import grpc
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from serving.promotion import PromotionError
from tests.support.certificates import Authority
from tests.support.commands import agnews
from tests.support.logged_push import log_push
from tests.support.model_service import ScriptedModelService, serve_model_service


@pytest.mark.parametrize(
    "command", [["classify", "oil"], ["versions", "list"], ["versions", "promote", "1", "--label", "stable"], ["demo"]]
)
@pytest.mark.parametrize("address", ["localhost", "::1:8500", "http://localhost:8500", "localhost:grpc"])
def test_an_address_that_is_none_is_refused_with_the_right_form(command, address):
    ended = CliRunner().invoke(cli, [*command, "--server", address])
    assert ended.exit_code == 2
    assert "expected HOST:PORT, with an IPv6 address [ADDRESS]:PORT" in ended.output


@pytest.mark.parametrize("address", ["localhost:99999", "[::1]:65536"])
def test_a_port_that_is_none_is_refused_where_grpc_would_ask_another(address):
    ended = CliRunner().invoke(cli, ["classify", "oil", "--server", address])
    assert ended.exit_code == 2
    assert "a port is a number up to 65535" in ended.output


@pytest.fixture
def encrypted(tmp_path, monkeypatch):
    """Starts a server that requires a client certificate; returns the options for it. A version is pushed."""
    (tmp_path / "serving_model/agnews/7").mkdir(parents=True)
    (tmp_path / "serving_model/agnews/7/saved_model.pb").write_bytes(b"graph")
    log_push(tmp_path / "serving_model/agnews/7")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    authority = Authority("good")
    key, certificate = authority.issue("client")
    for name, content in (("ca", authority.pem), ("key", key), ("cert", certificate)):
        (tmp_path / f"{name}.pem").write_bytes(content)
    credentials = grpc.ssl_server_credentials([authority.issue("server")], authority.pem, require_client_auth=True)
    scripted = ScriptedModelService()
    scripted.states = [(30, "")]
    with serve_model_service(scripted, credentials) as address:
        options = ["--server", address]
        yield scripted, options, [*options, "--tls-ca", "ca.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]


def test_versions_and_promotions_reach_a_server_by_mutual_tls(encrypted):
    scripted, _, tls = encrypted
    [row] = json.loads(agnews("versions", "list", "--json", *tls))
    assert row["server_state"] == "AVAILABLE"
    agnews("versions", "promote", "7", "--label", "stable", *tls)
    assert [config.model_config_list.config[0].version_labels for config in scripted.configs][-1] == {"stable": 7}


@pytest.mark.parametrize(
    "command", [["versions", "list"], ["versions", "promote", "7", "--label", "stable"], ["versions", "rollback"]]
)
def test_plain_text_does_not_reach_it(encrypted, command):
    _, plain, _ = encrypted
    with pytest.raises(PromotionError, match="UNAVAILABLE"):
        agnews(*command, *plain)


def test_a_canary_report_asks_by_tls(encrypted, tmp_path):
    _, plain, tls = encrypted
    (tmp_path / "items.csv").write_text("title\noil\n")
    report = ["versions", "canary", "--file", "items.csv", "--timeout", "2"]
    with pytest.raises(Exception, match="no answer"):
        agnews(*report, *plain)
    # The error shows that the request reached the server, which has no PredictionService.
    with pytest.raises(Exception, match="UNIMPLEMENTED"):
        agnews(*report, *tls)
