"""Tests addresses and metrics of a server in this process."""

import socket

import httpx
import pytest

from schema.errors import RunError
from serving.client import Client
from serving.server import Flags, ModelServer
from tests.support.model_servers import QUICK, serving, text_request
from tests.support.waiting import wait_until

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_grpc_and_rest_listen_on_ipv6(push, text_models, host):
    base = push(text_models["World"], 1)
    with serving(model_name="agnews", model_base_path=str(base), host=host) as running:
        with Client(f"[::1]:{running.server.grpc_port}") as client:
            assert client.classify(["some title"])[0].label == "World"
        assert httpx.get(f"http://[::1]:{running.server.rest_port}/v1/models/agnews").status_code == 200


@pytest.mark.parametrize(("taken", "options"), [("port", "--port"), ("rest_api_port", "--rest_api_port")])
def test_a_second_server_on_the_same_port_fails(push, text_models, taken, options):
    base = push(text_models["World"], 1)
    with serving(model_name="agnews", model_base_path=str(base)) as running:
        ports = {"port": running.server.grpc_port, "rest_api_port": running.server.rest_port}
        flags = QUICK | {"model_name": "agnews", "model_base_path": str(base), taken: ports[taken]}
        message = f"127.0.0.1:{ports[taken]}: Address already in use; choose another address with --host and {options}$"
        with pytest.raises(RunError, match=message):
            ModelServer(Flags(**flags)).start()
        # The first server continues.
        assert running.predictions.Predict(text_request(["a"])).model_spec.version.value == 1


def test_an_address_of_another_machine_is_rejected(push, text_models):
    base = push(text_models["World"], 1)
    with (
        pytest.raises(RunError, match=r"198\.51\.100\.7:0: Cannot assign requested address"),
        serving(model_name="agnews", model_base_path=str(base), host="198.51.100.7"),
    ):
        pass


def test_unloading_a_version_removes_its_metrics(push, text_models):
    base = push(text_models["World"], 1)
    _describe(base / "1", uuid="41")
    with serving(model_name="agnews", model_base_path=str(base)) as running:

        def series_of(number):
            lines = httpx.get(f"{running.rest}/monitoring/prometheus/metrics").text.splitlines()
            labels = (f'version="{number}"', f'model_path="{base}/{number}"')
            return {
                line.partition("{")[0].rpartition(":")[2] for line in lines if any(label in line for label in labels)
            }

        loads = {"load_attempt_count", "load_latency"}
        assert series_of(1) >= loads | {"mlmd_map", "model_warmup_latency_count", "model_warmup_records_read"}
        push(text_models["Sports"], 2)
        running.server._manager._poll_now.set()
        wait_until(lambda: series_of(1) == set())
        assert series_of(2) >= loads


def _describe(version, uuid):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "mlmd_uuid").write_text(uuid)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(text_request(["warm"]))
    with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
