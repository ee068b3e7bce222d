import signal
import socket
import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import RunError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_page_is_served_until_it_is_interrupted(server, tmp_path, host):
    command = [sys.executable, "-m", "pipeline", "demo", "--port", "0", "--host", host, "--server", server.address]
    command += ["--canary-share", "0", "--set", f"pusher.destination={tmp_path}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://[::1]:" if host == "::1" else "http://127.0.0.1:")
        page = httpx.post(url, data={"title": "oil rises"}, timeout=20)
        assert "<strong>Business</strong>" in page.text
        assert "version 1, label stable" in page.text
        assert httpx.get(f"{url}/model-card/1").status_code == 404
    finally:
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=30)[1]
    assert "Traceback" not in message


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(cli, ["demo", "--port", str(port)])
    assert isinstance(ended.exception, RunError)
    assert f"127.0.0.1:{port}: Address already in use" in str(ended.exception)
