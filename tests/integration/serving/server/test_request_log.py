"""Tests what a running server logs and that logging does not affect requests."""

import os
import threading
import time
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, model_management_pb2, predict_pb2

from schema.errors import SettingsError
from serving.prediction_logs import logged_texts, read_log
from serving.server import Flags, ModelServer
from serving.server.config import ModelServerConfig, read
from serving.server.manager import Manager, ManagerOptions
from serving.server.metrics import Metrics
from serving.server.request_log import _MAX_WAITING, LocalModels, RequestLog
from tests.support.model_servers import serving, text_request

ENTRY = 'name: "agnews" base_path: "{base}" model_platform: "tensorflow"'
LOGGING = (
    'logging_config {{ log_collector_config {{ type: "{type}" filename_prefix: "{prefix}" }} '
    "sampling_config {{ sampling_rate: {rate} }} }}"
)


@pytest.fixture
def config(push, text_models, tmp_path):
    """Returns a function that writes models.config. With rate=None it has no logging_config."""
    base = push(text_models["World"], 1)

    def write(rate=1.0, prefix=tmp_path / "logs/agnews", type="tfrecord_features"):
        logging = "" if rate is None else LOGGING.format(type=type, prefix=prefix, rate=rate)
        path = tmp_path / "models.config"
        path.write_text(f"model_config_list {{ config {{ {ENTRY.format(base=base)} {logging} }} }}")
        return str(path)

    return write


def logs_of(directory):
    return [log for path in sorted(directory.glob("*.tfrecord")) for log in read_log(path).logs]


def test_without_logging_config_nothing_is_logged(config, tmp_path):
    with serving(model_config_file=config(rate=None)) as running:
        running.predictions.Predict(text_request([b"Oil"]))
        metrics = running.server._metrics.exposition()
    assert not (tmp_path / "logs").exists()
    assert b"request_log_count{" not in metrics


def test_predict_and_classify_are_logged_without_texts(config, tmp_path):
    began = int(time.time())
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "agnews", "serve_examples"
    feature = classify.input.example_list.examples.add().features.feature["title"]
    feature.bytes_list.value.append(b"A very private sentence")
    with serving(model_config_file=config()) as running:
        answer = running.predictions.Predict(text_request([b"Another private sentence", b"Oil"]))
        running.predictions.Classify(classify)
        running.predictions.Predict(text_request([b"a"]))
    logs = logs_of(tmp_path / "logs")
    assert [len(logged_texts(log)) for log in logs] == [2, 1, 1]
    metadata = logs[0].log_metadata
    assert (metadata.model_spec.name, metadata.model_spec.version.value) == ("agnews", 1)
    assert began <= metadata.timestamp_secs <= time.time()
    assert metadata.sampling_config.sampling_rate == 1.0
    first = logged_texts(logs[0])[0]
    # Title and description contain the same text.
    assert first.text_length == 2 * len("Another private sentence")
    assert list(first.scores.values()) == pytest.approx(tf.make_ndarray(answer.outputs["probabilities"])[0].tolist())
    written = b"".join(path.read_bytes() for path in (tmp_path / "logs").iterdir())
    assert b"private" not in written


def test_only_the_owner_can_read_the_files_with_any_umask(umask, config, tmp_path):
    with serving(model_config_file=config(prefix=tmp_path / "logs/private/agnews")) as running:
        running.predictions.Predict(text_request([b"Oil"]))
    modes = [oct(path.stat().st_mode & 0o777) for path in sorted((tmp_path / "logs").rglob("*"))]
    assert modes == ["0o700", "0o600"]
    assert oct((tmp_path / "logs").stat().st_mode & 0o777) == "0o755"


def test_old_files_of_the_log_are_deleted_and_others_are_kept(config, tmp_path):
    directory = tmp_path / "logs"
    directory.mkdir()
    for name, days in (("agnews-old.tfrecord", 3), ("agnews-new.tfrecord", 1), ("other.tfrecord", 3)):
        (directory / name).touch()
        os.utime(directory / name, (0, time.time() - days * 86400))
    with serving(model_config_file=config(), request_log_keep_days=2.0) as running:
        running.predictions.Predict(text_request([b"Oil"]))
    names = {path.name for path in directory.iterdir()}
    assert {"agnews-new.tfrecord", "other.tfrecord"} < names
    assert "agnews-old.tfrecord" not in names


def test_a_prefix_may_contain_wildcards(config, tmp_path):
    directory = tmp_path / "logs"
    directory.mkdir()
    for name in ("a-old.tfrecord", "[a]-old.tfrecord"):
        (directory / name).touch()
        os.utime(directory / name, (0, 0))
    with serving(model_config_file=config(prefix=directory / "[a]")) as running:
        running.predictions.Predict(text_request([b"Oil"]))
    names = sorted(path.name for path in directory.iterdir())
    assert (len(names), names[1]) == (2, "a-old.tfrecord")
    assert names[0].startswith("[a]-2")


def test_requests_are_sampled_with_the_configured_rate(config, tmp_path):
    with serving(model_config_file=config(rate=0.25)) as running:
        for _ in range(400):
            running.predictions.Predict(text_request([b"Oil"]))
    # Five standard deviations around the mean.
    assert 55 <= len(logs_of(tmp_path / "logs")) <= 145


def test_log_write_errors_are_counted_and_do_not_fail_requests(config, tmp_path):
    (tmp_path / "file").write_text("")
    with serving(model_config_file=config(prefix=tmp_path / "file/agnews")) as running:
        for _ in range(2):
            assert running.predictions.Predict(text_request([b"Oil"])).outputs
        running.server._request_log.close(10)
        counted = running.server._metrics.exposition()
    assert b'request_log_count{model_name="agnews",status_code="INTERNAL"} 2.0' in counted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "file"}, "log collector type 'file' is not supported"),
        ({"prefix": "gs://bucket/logs"}, "filename_prefix of log_collector_config must be a local path"),
        ({"rate": 1.5}, "not between 0 and 1"),
    ],
)
def test_an_invalid_logging_config_is_rejected_at_startup(config, changes, reason):
    with pytest.raises(SettingsError, match=reason):
        ModelServer(Flags(port=0, model_config_file=config(**changes)))


def reload(running, path):
    request = model_management_pb2.ReloadConfigRequest(config=read(path, ModelServerConfig))
    running.models.HandleReloadConfigRequest(request)


def test_a_reload_writes_only_below_the_directories_of_the_start(config, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "logs/link").symlink_to(tmp_path / "elsewhere")
    with serving(model_config_file=config(), request_log_directories=str(tmp_path / "more")) as running:
        for prefix in ("elsewhere/a", "logs/../elsewhere/a", "logs/link/a", "logs2/a", "logs", "more", "a\\000/b"):
            with pytest.raises(grpc.RpcError) as refused:
                reload(running, config(prefix=f"{tmp_path}/{prefix}"))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        for prefix in ("logs/b", "logs/deeper/b", "more/b"):
            reload(running, config(prefix=tmp_path / prefix))
            running.predictions.Predict(text_request([b"Oil"]))
        reload(running, config(rate=None))
        reload(running, config())
    assert [len(logs_of(tmp_path / name)) for name in ("logs", "logs/deeper", "more", "elsewhere")] == [1, 1, 1, 0]


def test_a_reload_can_enable_and_disable_logging(config, tmp_path):
    with serving(model_config_file=config(rate=None), request_log_directories=str(tmp_path / "logs")) as running:
        for rate in (None, 1.0, None):
            reload(running, config(rate=rate))
            running.predictions.Predict(text_request([b"Oil"]))
    assert len(logs_of(tmp_path / "logs")) == 1


@pytest.fixture
def stuck(tmp_path):
    """A log whose writer blocks, as on a slow disk. `.offer()` queues a response."""
    go, metrics = threading.Event(), Metrics()
    manager = Manager(lambda *_: None, ManagerOptions())
    manager.config.model_config_list.config.add(name="agnews").logging_config.sampling_config.sampling_rate = 1.0
    log = RequestLog(LocalModels(manager), metrics, keep_days=1)
    log._write = lambda waiting: go.wait(60)
    request = predict_pb2.PredictRequest()

    def offer(request=request, response=predict_pb2.PredictResponse()):  # noqa: B008
        log.offer("Predict", "agnews", 1, request, response)

    yield SimpleNamespace(offer=offer, metrics=metrics)
    go.set()
    log.close(10)
    manager.close(1)


def dropped(metrics):
    return metrics.request_logs.labels("agnews", "RESOURCE_EXHAUSTED")._value.get()


def test_a_slow_disk_does_not_block_requests_and_drops_are_counted(stuck):
    began = time.monotonic()
    for _ in range(_MAX_WAITING + 51):
        stuck.offer()
    assert time.monotonic() - began < 5
    assert dropped(stuck.metrics) in (50, 51)  # The writer may have taken one.


@pytest.mark.parametrize("part", ["request", "response"])
def test_large_requests_and_responses_do_not_fill_the_memory(stuck, part):
    tensor = tf.make_tensor_proto(np.array([b"x" * (5 << 20)], object))
    large = {
        "request": predict_pb2.PredictRequest(inputs={"title": tensor}),
        "response": predict_pb2.PredictResponse(outputs={"title": tensor}),
    }
    for _ in range(8):
        stuck.offer(**{part: large[part]})
    assert dropped(stuck.metrics) in (4, 5)
