"""Tests the server process: command line, shutdown, configuration file, slow clients and large requests."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, predict_pb2, prediction_log_pb2

from schema.errors import RunError
from serving.server import config
from tests.support import ROOT
from tests.support.model_servers import label_of, stubs, text_request
from tests.support.waiting import wait_until

LIMIT = 100_000
PATIENCE_SECONDS = 120


def command(*arguments):
    return [sys.executable, "-m", "serving.server", "--port=0", *map(str, arguments)]


# Drops all capabilities, so that file permissions apply to root as well (capget(2), _LINUX_CAPABILITY_VERSION_3). A
# process of another user could not read an interpreter in root's home directory.
UNPRIVILEGED = """
import ctypes, sys
from serving.server.__main__ import main
header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(header, none) == 0
main(sys.argv[1:])
"""


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}


def _said(log):
    log.seek(0)
    return log.read()[-2000:].decode(errors="replace")


@contextmanager
def process(*arguments, program=None):
    """Yields a server process that is ready, the JSON of its first line, and stubs."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed below.
    started = subprocess.Popen(
        [sys.executable, "-c", program, *command(*arguments)[3:]] if program else command(*arguments),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment(),
    )
    timer = threading.Timer(PATIENCE_SECONDS, started.kill)
    timer.start()
    try:
        line = started.stdout.readline()
        assert line, f"the server did not start:\n{_said(log)}"
        ready = json.loads(line)
        clients = stubs(f"127.0.0.1:{ready['grpc_port']}", [("grpc.max_send_message_length", -1)])
        with clients.channel:
            yield started, ready, clients
    finally:
        timer.cancel()
        started.kill()
        started.wait()
        started.stdout.close()
        log.close()


@pytest.fixture
def warmed(push, text_models):
    """A base path with one version that has warm-up requests of two kinds and an ML Metadata id."""
    base = push(text_models["World"], 1)
    extra = base / "1" / "assets.extra"
    extra.mkdir()
    (extra / "mlmd_uuid").write_text("42")
    predict = prediction_log_pb2.PredictionLog()
    predict.predict_log.request.CopyFrom(text_request(["warm"], model="another name"))
    classify = prediction_log_pb2.PredictionLog()
    classify.classify_log.request.model_spec.signature_name = "serve_examples"
    classify.classify_log.request.input.example_list.examples.add()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for log in (predict, classify):
            writer.write(log.SerializeToString())
    return base


# As a destructor that uses a protobuf message does: PyModule_GetState gets a null pointer.
CRASHES_AT_EXIT = """
import atexit, os, signal, sys
from serving.server.__main__ import main
atexit.register(os.kill, os.getpid(), signal.SIGSEGV)
main(sys.argv[1:])
"""


def test_a_server_reports_ready_survives_bad_clients_and_exits_cleanly(warmed):
    arguments = ["--model_name=agnews", f"--model_base_path={warmed}", "--rest_api_port=0"]
    arguments += [f"--grpc_channel_arguments=grpc.max_receive_message_length={LIMIT}", "--rest_api_timeout_in_ms=2000"]
    with process(*arguments, program=CRASHES_AT_EXIT) as (started, ready, clients):
        assert (ready["event"], ready["models"]) == ("ready", {"agnews": [1]})
        # Which Keras would have loaded: 1.8 s and 180 MB.
        assert "sklearn" not in Path(f"/proc/{started.pid}/maps").read_text()
        rest = f"http://127.0.0.1:{ready['rest_api_port']}"
        metrics = httpx.get(f"{rest}/monitoring/prometheus/metrics").text
        assert 'mlmd_map{mlmd_uuid="42",model_name="agnews",version="1"} 1.0' in metrics
        assert f':model_warmup_latency_count{{model_path="{warmed}/1",status="OK"}} 1.0' in metrics
        assert f':model_warmup_records_read{{model_path="{warmed}/1",status="OK"}} 2.0' in metrics

        # Requests that are too large are rejected over gRPC and REST, and the server continues.
        with pytest.raises(grpc.RpcError) as caught:
            clients.predictions.Predict(text_request(["a" * LIMIT]))
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"
        response = httpx.post(f"{rest}/v1/models/agnews:predict", content=b" " * (LIMIT + 1))
        assert (response.status_code, "larger than" in response.json()["error"]) == (413, True)

        # More slow clients than threads have each sent half a request. Other clients still get responses.
        slow = [socket.create_connection(("127.0.0.1", ready["rest_api_port"])) for _ in range(100)]
        for number, connection in enumerate(slow):
            head = b"POST /v1/models/agnews:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            connection.sendall(head + (b'\r\n{"inst' if number % 2 else b""))
        idle = [socket.create_connection(("127.0.0.1", ready["grpc_port"])) for _ in range(100)]
        assert httpx.get(f"{rest}/v1/models/agnews").status_code == 200
        assert label_of(clients.predictions.Predict(text_request(["a"]), timeout=30)) == "World"
        assert b" 504 " in slow[1].recv(1000), "the server must not wait forever for a body"
        for connection in [*slow, *idle]:
            connection.close()

        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_SECONDS) == 0


SHORT_GRACE = """
import sys
from serving.server import server
from serving.server.__main__ import main
server.GRACE_SECONDS = 1.0
main(sys.argv[1:])
"""


def test_a_server_exits_cleanly_while_a_request_still_runs(push, case_model):
    base = push(case_model, 1)
    with process("--model_name=cases", f"--model_base_path={base}", program=SHORT_GRACE) as (started, _, clients):
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "cases", "count"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(1e9))
        running = clients.predictions.Predict.future(request)
        time.sleep(1)
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_SECONDS) == 0
        assert time.monotonic() - began < 10
        assert running.code().name in ("CANCELLED", "UNAVAILABLE")


SWALLOWS_EXIT = """
import time
from serving.server import server

def start(self, release_ports):
    print("starting", flush=True)
    try:
        time.sleep(60)
    except BaseException:
        pass

server.ModelServer.start = start
server.ModelServer.describe = lambda self: {}
server.run(server.Flags(model_name="agnews", model_base_path="models"), release_ports=lambda: None)
"""


def test_a_server_ends_if_loading_code_swallows_the_signal():
    with subprocess.Popen(
        [sys.executable, "-c", SWALLOWS_EXIT], stdout=subprocess.PIPE, text=True, env=environment()
    ) as started:
        try:
            assert started.stdout.readline() == "starting\n"
            started.send_signal(signal.SIGTERM)
            assert started.wait(PATIENCE_SECONDS) == 0
        finally:
            started.kill()


def test_a_killed_server_can_restart_on_the_same_port(warmed):
    arguments = ["--model_name=agnews", f"--model_base_path={warmed}"]
    with process(*arguments) as (started, ready, clients):
        assert label_of(clients.predictions.Predict(text_request(["a"]))) == "World"
        second = subprocess.run(
            command(*arguments, f"--port={ready['grpc_port']}"), capture_output=True, text=True, env=environment()
        )
        # The process exits cleanly, without an abort in a TensorFlow thread.
        assert (second.returncode, "Address already in use" in second.stderr) == (RunError.exit_code, True)
        started.send_signal(signal.SIGKILL)
        started.wait(PATIENCE_SECONDS)
    with process(*arguments, f"--port={ready['grpc_port']}") as (_, again, clients):
        assert again["grpc_port"] == ready["grpc_port"]
        assert label_of(clients.predictions.Predict(text_request(["a"]))) == "World"


def test_unreadable_versions_do_not_replace_the_served_one(text_models):
    with tempfile.TemporaryDirectory() as base:
        base = Path(base)
        base.chmod(0o755)

        def add(number, change=lambda version: None):
            incoming = base / f".{number}"
            shutil.copytree(text_models["World" if number == 1 else "Sports"], incoming)
            change(incoming)
            incoming.rename(base / str(number))

        def state(clients, number):
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "agnews"
            response = clients.models.GetModelStatus(request, timeout=30)
            return {
                status.version: (status.state, status.status.error_code) for status in response.model_version_status
            }.get(number)

        add(1)
        arguments = ["--model_name=agnews", f"--model_base_path={base}", "--max_num_load_retries=0"]
        with process(*arguments, program=UNPRIVILEGED) as (_, _, clients):
            for number, part in enumerate([".", "variables", "saved_model.pb"], start=2):
                add(number, lambda version, part=part: (version / part).chmod(0))
                wait_until(lambda number=number: (found := state(clients, number)) and found[0] == 50 and found[1] != 0)
                assert label_of(clients.predictions.Predict(text_request(["a"]))) == "World"
            add(5)
            wait_until(lambda: label_of(clients.predictions.Predict(text_request(["a"]))) == "Sports")


def test_the_configuration_file_is_polled_and_can_be_replaced_over_grpc(push, text_models, tmp_path):
    base = push(text_models["World"], 1)
    push(text_models["Sports"], 2)
    file = tmp_path / "models.config"

    def write(version):
        models = config.single_model("agnews", str(base))
        models.model_config_list.config[0].model_version_policy.specific.versions.append(version)
        file.write_text(str(models))
        return models

    def answering(clients):
        return label_of(clients.predictions.Predict(text_request(["a"])))

    write(1)
    arguments = [f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1"]
    with process(*arguments) as (_, _, clients):
        assert answering(clients) == "World"
        file.write_text("not a configuration")
        pinned = write(2)
        wait_until(lambda: answering(clients) == "Sports")
        pinned.model_config_list.config[0].name = "renamed"
        clients.models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(config=pinned), timeout=60)
        assert label_of(clients.predictions.Predict(text_request(["a"], model="renamed"))) == "Sports"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "no model to serve"),
        (["--model_base_pth=x"], 2, "--model_base_path"),
    ],
)
def test_an_invalid_command_line_is_reported_without_a_traceback(arguments, status, message):
    ended = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment(), check=False)
    assert ended.returncode == status
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_agnews_serve_has_the_same_flags():
    from click.testing import CliRunner

    from pipeline.cli import cli

    result = CliRunner().invoke(cli, ["serve", "--help"])
    assert "--model_config_file_poll_wait_seconds" in result.output


def test_a_server_that_cannot_load_its_models_prints_the_errors_as_json(tmp_path):
    (tmp_path / "models/7").mkdir(parents=True)
    (tmp_path / "models/7/saved_model.pb").write_bytes(b"no graph")
    arguments = ["--model_name=agnews", f"--model_base_path={tmp_path}/models", "--max_num_load_retries=0"]
    ended = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert ended.returncode == 5
    event = json.loads(ended.stdout)
    assert (event["event"], list(event["models"]["agnews"])) == ("failed", ["7"])
    assert "saved_model.pb" in event["models"]["agnews"]["7"]["message"]
