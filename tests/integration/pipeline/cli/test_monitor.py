"""Tests `agnews monitor` if its files cannot be written; tests of `pipeline.monitoring` check what it finds."""

import pytest
import tensorflow as tf
from click.testing import CliRunner
from tensorflow_serving.apis import logging_pb2

from pipeline.cli import cli
from schema.errors import SettingsError
from schema.features import CLASS_NAMES
from serving.prediction_logs import LoggedText, without_texts


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Writes a request log with one response."""
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", "serving_model")
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", "runs")
    metadata = logging_pb2.LogMetadata(timestamp_secs=1000)
    metadata.model_spec.name = "agnews"
    metadata.model_spec.version.value = 3
    answer = without_texts(metadata, [LoggedText(dict.fromkeys(CLASS_NAMES, 0.25), 9, tokens=2, unknown_tokens=0)])
    with tf.io.TFRecordWriter(str(tmp_path / "log.tfrecord")) as writer:
        writer.write(answer.SerializeToString())
    return tmp_path / "log.tfrecord"


def test_a_report_that_cannot_be_written_is_one_message_and_is_shown(log):
    place = log / "reports"  # Below a file, where a directory cannot be created.
    ended = CliRunner().invoke(cli, ["monitor", str(log), "--set", f"monitoring.directory={place}"])
    assert isinstance(ended.exception, SettingsError)
    assert str(ended.exception).startswith(f"monitoring.directory {place}")
    assert str(ended.exception).endswith("Not a directory; name a place that can be written")
    assert "agnews version 3: 1 text in 1 logged request" in ended.output
