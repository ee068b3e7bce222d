"""Tests the command `agnews review`."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import RunError, SettingsError

TOKEN = "0123456789abcdef"


def test_without_runs_it_says_so_serves_and_ends_without_a_trace(tmp_path):
    command = [sys.executable, "-m", "pipeline", "review", "--port", "0", "--set", f"pipeline.root={tmp_path}/runs"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AGNEWS_REVIEW_TOKEN": TOKEN},
    )
    try:
        assert "There are no runs yet; agnews run makes one" in process.stdout.readline()
        line = process.stdout.readline()
        assert "approvals need a token" in line
        assert "agnews run" in httpx.get(f"{line.split()[0]}/runs", timeout=20).text
    finally:
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=30)[1]
    assert "Traceback" not in message
    assert not (tmp_path / "runs/metadata.sqlite").exists()


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(cli, ["review", "--port", str(port)])
    assert isinstance(ended.exception, RunError)
    assert f"127.0.0.1:{port}: Address already in use" in str(ended.exception)


@pytest.mark.parametrize("options", [["--token", "short"], ["--token-file", "none"]])
def test_a_token_that_cannot_be_used_is_said_before_anything_is_served(options):
    assert isinstance(CliRunner().invoke(cli, ["review", *options]).exception, SettingsError)


@pytest.mark.parametrize(
    ("options", "secret", "message"),
    [
        ([], None, "needs AGNEWS_REVIEW_OIDC_SECRET, the client's secret at http://localhost:1"),
        (["--host", "0.0.0.0"], "secret", r"--host 0\.0\.0\.0 needs alerts\.review_url"),
        (["--token", TOKEN], "secret", "a log-in .* replaces tokens: leave out --token"),
    ],
)
def test_a_log_in_that_cannot_work_is_said_before_anything_is_served(monkeypatch, options, secret, message):
    monkeypatch.delenv("AGNEWS_REVIEW_OIDC_SECRET", raising=False)
    if secret:
        monkeypatch.setenv("AGNEWS_REVIEW_OIDC_SECRET", secret)
    client = ["--set", "review.oidc_issuer=http://localhost:1", "--set", "review.oidc_client_id=review"]
    error = CliRunner().invoke(cli, ["review", *client, *options]).exception
    assert isinstance(error, SettingsError)
    assert re.search(message, str(error))
