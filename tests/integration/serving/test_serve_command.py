"""Tests what `agnews serve` reports before TensorFlow is imported, and what it serves without flags."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.support import ROOT

SECONDS = 120
AGNEWS = [sys.executable, "-c", "from pipeline.cli import main; main()", "serve"]


def environment(directory):
    return os.environ | {"PYTHONPATH": str(ROOT), "AGNEWS_PUSHER__DESTINATION": str(directory)}


def ended(directory, *arguments):
    """Runs the command in a process in which an import of TensorFlow fails."""
    program = "import sys; sys.modules['tensorflow.python'] = None; from pipeline.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port=0", *arguments]
    return subprocess.run(
        command, env=environment(directory), cwd=directory, capture_output=True, text=True, timeout=SECONDS
    )


def free_ports(count):
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in free]


def test_a_port_in_use_is_reported_before_tensorflow_is_imported(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = ended(tmp_path, "--model_base_path=/models", f"--rest_api_port={port}")
    assert (result.returncode, f"127.0.0.1:{port}: Address already in use" in result.stderr) == (5, True)


def test_one_port_for_both_is_reported_before_tensorflow_is_imported(tmp_path):
    [port] = free_ports(1)
    result = ended(tmp_path, "--model_base_path=/models", f"--port={port}", f"--rest_api_port={port}")
    message = f"127.0.0.1:{port}: Address already in use; choose another address with --host and --rest_api_port"
    assert (result.returncode, message in result.stderr) == (5, True), result.stderr


def test_a_server_that_loads_keeps_its_ports_and_refuses_clients(tmp_path):
    """Two servers that start at the same time must not both load, to find only then that one of them has no port."""
    (tmp_path / "tensorflow.py").write_text("import sys, time; print('importing', flush=True); time.sleep(60)")
    ports = free_ports(2)
    flags = ["--model_base_path=/models", f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
    slow = environment(tmp_path) | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with subprocess.Popen([*AGNEWS, *flags], env=slow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as first:
        try:
            assert first.stdout.readline() == b"importing\n"
            for port in ports:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port))
            second = ended(tmp_path, *flags)
        finally:
            first.kill()
    assert (second.returncode, f"127.0.0.1:{ports[0]}: Address already in use" in second.stderr) == (5, True)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 3, "no model has been pushed; run agnews run"),
        (["--model_config_file=gone"], 2, "cannot read gone"),
        (["--model_base_path=/models", "--rest_api_timeout_in_ms=0"], 2, "expected 1 to"),
        (["--model_base_path=/models", "--host=192.0.2.1"], 5, "choose another address with --host and --port"),
        (["--model_base_path=/models", "--grpc_socket_path=gone/socket"], 2, "gone: no such directory"),
        (["--model_base_path=/models", "--ssl_config_file=ssl.config"], 2, "the key or a certificate is invalid"),
    ],
)
def test_mistakes_are_reported_before_tensorflow_is_imported(tmp_path, arguments, status, message):
    (tmp_path / "ssl.config").write_text('server_key: "none" server_cert: "none"')
    result = ended(tmp_path, *arguments)
    assert (result.returncode, message in result.stderr) == (status, True), result.stderr


def test_a_broken_file_is_reported_in_the_words_of_tensorflow_serving(tmp_path):
    """The test tensorflow_model_server_test.py of TensorFlow Serving looks for them."""
    (tmp_path / "models.config").write_text('model_config_list { nme: "a" }')
    result = ended(tmp_path, "--model_config_file=models.config")
    assert result.returncode == 2
    assert "models.config: Error parsing text-format tensorflow.serving.ModelServerConfig: 1:21 : " in result.stderr


def test_without_flags_it_serves_what_was_pushed(tmp_path, case_model):
    (tmp_path / "agnews").mkdir()
    (tmp_path / "agnews" / "1").symlink_to(case_model)
    with (tmp_path / "log").open("w+") as log:
        started = subprocess.Popen(
            [*AGNEWS, "--port=0", "--rest_api_port=0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path),
        )
        try:
            began = time.monotonic()
            while "loading agnews from " not in (tmp_path / "log").read_text():
                assert time.monotonic() - began < SECONDS
                time.sleep(0.05)
            ready = json.loads(started.stdout.readline())
            assert ready["models"] == {"agnews": [1]}
            url = f"http://127.0.0.1:{ready['rest_api_port']}/v1/models/agnews:predict"
            rows = {"signature_name": "transposed", "inputs": [[1, 2, 3], [4, 5, 6]]}
            assert httpx.post(url, json=rows).json() == {"outputs": [[1, 4], [2, 5], [3, 6]]}
            started.send_signal(signal.SIGTERM)
            assert started.wait(SECONDS) == 0
        finally:
            started.kill()
            started.stdout.close()
        shown = (tmp_path / "log").read_text()
    assert "cuInit" not in shown
    assert "oneDNN" not in shown
