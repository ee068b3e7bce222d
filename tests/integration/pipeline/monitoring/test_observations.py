"""Tests of reading request logs, written by this project's server and by TensorFlow Serving."""

import os

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.model_card.exported_model import ExportedModel
from pipeline.monitoring.monitor import monitor
from pipeline.monitoring.observations import log_files, read_log_files, to_rows
from pipeline.monitoring.page import write_report
from schema.errors import DataError
from schema.features import CLASS_NAMES
from tests.support.simulated_traffic import NOW


def served_log(texts, *, seconds=0, model="agnews", version=7, names=CLASS_NAMES, score=0.7, rate=0.0):
    """Returns a Predict log entry as TensorFlow Serving writes it, including the texts."""
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.timestamp_secs = seconds
    log.log_metadata.sampling_config.sampling_rate = rate
    request, response = log.predict_log.request, log.predict_log.response
    request.model_spec.name = model
    response.model_spec.version.value = version
    for index, name in enumerate(("title", "description")):
        request.inputs[name].CopyFrom(tf.make_tensor_proto([row[index] for row in texts]))
    response.outputs["classes"].CopyFrom(tf.make_tensor_proto([[name.encode() for name in names]] * len(texts)))
    scores = np.float32([[score] + [0.1] * (len(names) - 1)] * len(texts))
    response.outputs["probabilities"].CopyFrom(tf.make_tensor_proto(scores))
    return log


def write(path, logs):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    return path


def test_served_model_counts_words_of_tensorflow_serving_logs(exported, tmp_path):
    log = served_log([("oil prices rise", "the market was calm"), ("zzz", "qqq market")], seconds=1000)
    records = read_log_files([write(tmp_path / "log.tfrecord", [log])], "agnews")
    rows = to_rows(records.used, ExportedModel(str(exported)))
    expected = {"time": [1000, 1000], "label": [0, 0], "text_length": [34, 13]}
    pd.testing.assert_frame_equal(rows[list(expected)], pd.DataFrame(expected))
    assert rows["unknown_share"].tolist() == pytest.approx([0.0, 2 / 3])
    assert rows["confidence"].tolist() == pytest.approx([0.7, 0.7])
    assert to_rows(records.used, None)["unknown_share"].isna().all()


def test_records_without_a_time_use_the_file_time(tmp_path):
    path = write(tmp_path / "log.tfrecord", [served_log([("a", "b")])])
    os.utime(path, (0, 5000))
    assert read_log_files([path], "agnews").used[0].time == 5000


def test_skipped_records_are_counted_by_reason(tmp_path):
    broken = served_log([("a", "b")])
    broken.predict_log.response.outputs["probabilities"].CopyFrom(tf.make_tensor_proto([0.5]))
    logs = [
        served_log([("a", "b")], version=8, seconds=5),
        served_log([("a", "b")], version=9, seconds=3),
        served_log([("a", "b")], model="other"),
        served_log([("a", "b")], names=("x", "y")),
        broken,
        prediction_log_pb2.PredictionLog(),
    ]
    path = write(tmp_path / "log.tfrecord", logs)
    with open(path, "ab") as file:
        file.write(b"cut off within a record")
    records = read_log_files([path], "agnews")
    assert [record.version for record in records.used] == [8, 9]
    assert records.latest_version() == 8
    assert records.skipped == {
        "another model": 1,
        "other classes": 1,
        "unreadable: ValueError": 1,
        "not a classification": 1,
        "file ends within a record": 1,
    }


LAST = 253_402_300_799


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"score": float("nan")}, "scores are not finite"),
        ({"score": float("inf")}, "scores are not finite"),
        ({"seconds": LAST + 1}, "invalid time"),
        ({"seconds": 2**63 - 1}, "invalid time"),
        ({"seconds": -1}, "invalid time"),
        ({"seconds": -(2**63)}, "invalid time"),
        ({"rate": float("nan")}, "sampling rate is not finite"),
    ],
    ids=str,
)
def test_records_that_json_cannot_represent_are_skipped(settings, tmp_path, options, reason):
    good = [served_log([("a", "b")], seconds=seconds) for seconds in (1, 1000, LAST)]
    path = write(tmp_path / "log.tfrecord", [*good, served_log([("a", "b")], **options)])
    report = monitor(settings, [path], None, version=None, now=NOW)
    assert (report.records, report.skipped) == (3, {reason: 1})
    write_report(report, tmp_path / "report")
    assert "NaN" not in (tmp_path / "report/monitoring.json").read_text()


def test_logs_without_the_model_are_rejected_with_their_content(tmp_path):
    path = write(tmp_path / "log.tfrecord", [served_log([("a", "b")], model="other")])
    with pytest.raises(DataError, match=r"no predictions of model 'agnews' in 1 file .*another model: 1"):
        read_log_files([path], "agnews")


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    directory = tmp_path / "a.tfrecord"
    directory.mkdir()
    with pytest.raises(DataError, match=r"a\.tfrecord: Is a directory; name the files of the request log"):
        read_log_files([directory], "agnews")

    def failing(path):
        raise tf.errors.UnavailableError(None, None, "the disk")

    monkeypatch.setattr("pipeline.monitoring.observations.read_log", failing)
    with pytest.raises(DataError, match=r"b\.tfrecord: UnavailableError; name the files"):
        read_log_files([write(tmp_path / "b.tfrecord", [])], "agnews")


def test_a_directory_is_replaced_by_its_logs(tmp_path):
    for name in ("b.tfrecord", "a.tfrecord.gz", "note.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in log_files([tmp_path])] == ["a.tfrecord.gz", "b.tfrecord"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there is no \*\.tfrecord file in"):
        log_files([tmp_path / "empty"])


def test_hidden_files_are_ignored_and_names_are_not_glob_patterns(tmp_path):
    for name in ("logs [1]/a.tfrecord", "logs [1]/._a.tfrecord", "logs [1]/.a.tfrecord.swp", "logs 1/b.tfrecord"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert log_files([tmp_path / "logs [1]"]) == [tmp_path / "logs [1]/a.tfrecord"]
