"""Tests that the proxy forwards calls unchanged, and that monitoring reads what it logs."""

import threading

import grpc
import httpx
import pytest
from tensorflow_serving.apis import classification_pb2, get_model_status_pb2

from schema.errors import RunError
from serving.client import Client, ModelNotFoundError, NewsItem
from serving.prediction_logs import logged_texts, read_log
from serving.request_log_proxy import RequestLogProxy
from tests.support.model_servers import label_of, serving, stubs, text_request
from tests.support.waiting import wait_until


@pytest.fixture
def server(push, text_models):
    base = push(text_models["World"], 1)
    with serving(model_name="agnews", model_base_path=str(base)) as running:
        yield f"127.0.0.1:{running.server.grpc_port}"


def make_proxy(server, tmp_path, **options):
    defaults = {"host": "127.0.0.1", "port": 0, "prefix": tmp_path / "logs/agnews", "rate": 1.0}
    return RequestLogProxy(server, **defaults | options)


def log_threads():
    return [thread.ident for thread in threading.enumerate() if thread.name == "request-log"]


def logs_of(tmp_path):
    return [log for path in sorted((tmp_path / "logs").glob("*.tfrecord")) for log in read_log(path).logs]


def test_calls_are_forwarded_and_logged_without_texts(server, tmp_path):
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "agnews", "serve_examples"
    classify.input.example_list.examples.add().features.feature["title"].bytes_list.value.append(b"A private sentence")
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "agnews"
    with make_proxy(server, tmp_path) as proxy:
        clients = stubs(f"127.0.0.1:{proxy.port}")
        assert label_of(clients.predictions.Predict(text_request(["Another private sentence", "b"]))) == "World"
        assert len(clients.predictions.Classify(classify).result.classifications) == 1
        assert clients.models.GetModelStatus(status).model_version_status[0].version == 1
        with Client(f"127.0.0.1:{proxy.port}") as client:
            assert client.classify([NewsItem("Oil", "rises")])[0].label == "World"
    logs = logs_of(tmp_path)
    assert [len(logged_texts(log)) for log in logs] == [2, 1, 1]
    assert logs[0].log_metadata.model_spec.version.value == 1
    assert logged_texts(logs[1])[0].text_length == len("A private sentence")
    assert max(logged_texts(logs[2])[0].scores.items(), key=lambda pair: pair[1])[0] == "World"
    written = b"".join(path.read_bytes() for path in (tmp_path / "logs").iterdir())
    assert b"private" not in written


def test_texts_of_other_columns_are_logged_by_server_and_proxy(push, column_model, tmp_path):
    base = push(column_model, 1)
    logging = f'log_collector_config {{ type: "tfrecord_features" filename_prefix: "{tmp_path}/own/agnews" }}'
    (tmp_path / "models.config").write_text(
        f'model_config_list {{ config {{ name: "agnews" base_path: "{base}" model_platform: "tensorflow" '
        f"logging_config {{ {logging} sampling_config {{ sampling_rate: 1.0 }} }} }} }}"
    )
    item = NewsItem.of_texts(["a", "b", "c"])
    with (
        serving(model_config_file=str(tmp_path / "models.config")) as running,
        make_proxy(f"127.0.0.1:{running.server.grpc_port}", tmp_path) as proxy,
        Client(f"127.0.0.1:{proxy.port}") as client,
    ):
        client.classify([item])
        assert client.text_columns() == ("text_000", "text_001", "text_002")
    for directory in ("own", "logs"):
        [path] = (tmp_path / directory).glob("*.tfrecord")
        [[text]] = [logged_texts(log) for log in read_log(path).logs]
        assert (text.item, text.text_length) == (item.id, 4)


def test_errors_and_deadlines_are_forwarded_and_not_logged(server, tmp_path):
    with make_proxy(server, tmp_path) as proxy, Client(f"127.0.0.1:{proxy.port}", model_name="nope") as client:
        with pytest.raises(ModelNotFoundError, match="Servable not found"):
            client.classify(["a"])
        with pytest.raises(grpc.RpcError) as caught:
            stubs(f"127.0.0.1:{proxy.port}").predictions.Predict(text_request(["a"]), timeout=0.0001)
        assert caught.value.code().name == "DEADLINE_EXCEEDED"
    assert not (tmp_path / "logs").exists()


def test_only_the_sample_is_logged(server, tmp_path):
    with make_proxy(server, tmp_path, rate=0.0) as proxy:
        stubs(f"127.0.0.1:{proxy.port}").predictions.Predict(text_request(["a"]))
    assert not (tmp_path / "logs").exists()


def test_logged_and_dropped_records_are_counted_in_metrics(server, tmp_path):
    (tmp_path / "file").touch()
    for prefix, status in ((tmp_path / "logs/agnews", "OK"), (tmp_path / "file/agnews", "INTERNAL")):
        with make_proxy(server, tmp_path, prefix=prefix, metrics_port=0) as proxy:
            stubs(f"127.0.0.1:{proxy.port}").predictions.Predict(text_request(["a"]))
            address = f"http://127.0.0.1:{proxy.metrics_port}"
            line = f':tensorflow:serving:request_log_count{{model_name="agnews",status_code="{status}"}} 1.0\n'
            wait_until(lambda at=address, line=line: line in httpx.get(f"{at}/monitoring/prometheus/metrics").text, 30)
            assert httpx.get(address).status_code == 404


def test_a_port_in_use_is_an_error(server, tmp_path):
    before = log_threads()
    with pytest.raises(RunError, match="Address already in use; choose another address with --host and --port"):
        make_proxy(server, tmp_path, port=int(server.rpartition(":")[2]))
    assert log_threads() == before
