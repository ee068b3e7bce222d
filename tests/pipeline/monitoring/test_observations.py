"""What is read of logs, ours and TensorFlow Serving's."""

import os

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.model_card.exported_model import ExportedModel
from pipeline.monitoring import monitor
from pipeline.monitoring.observations import log_files, read_records, to_rows
from pipeline.monitoring.page import write_report
from schema.errors import DataError
from schema.features import CLASS_NAMES
from tests.pipeline.monitoring.conftest import NOW


def served_log(texts, *, seconds=0, model="agnews", version=7, names=CLASS_NAMES, score=0.7, rate=0.0):
    """What TensorFlow Serving would log of a Predict request: the texts are in it."""
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


def test_texts_of_tensorflow_servings_log_are_counted_by_the_served_model(exported, tmp_path):
    log = served_log([("oil prices rise", "the market was calm"), ("zzz", "qqq market")], seconds=1000)
    records = read_records([write(tmp_path / "log.tfrecord", [log])], "agnews")
    rows = to_rows(records.used, ExportedModel(str(exported)))
    expected = {"time": [1000, 1000], "label": [0, 0], "text_length": [34, 13]}
    pd.testing.assert_frame_equal(rows[list(expected)], pd.DataFrame(expected))
    assert rows["unknown_share"].tolist() == pytest.approx([0.0, 2 / 3])
    assert rows["confidence"].tolist() == pytest.approx([0.7, 0.7])
    assert to_rows(records.used, None)["unknown_share"].isna().all()


def test_records_without_a_time_have_that_of_their_file(tmp_path):
    path = write(tmp_path / "log.tfrecord", [served_log([("a", "b")])])
    os.utime(path, (0, 5000))
    assert read_records([path], "agnews").used[0].time == 5000


def test_what_is_left_out_is_counted_by_reason(tmp_path):
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
    records = read_records([path], "agnews")
    assert [record.version for record in records.used] == [8, 9]
    assert records.newest_version() == 8
    assert records.skipped == {
        "another model": 1,
        "other classes": 1,
        "unreadable: ValueError": 1,
        "no classification": 1,
        "file ends within a record": 1,
    }


LAST = 253_402_300_799


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"score": float("nan")}, "scores are no numbers"),
        ({"score": float("inf")}, "scores are no numbers"),
        ({"seconds": LAST + 1}, "no such time"),
        ({"seconds": 2**63 - 1}, "no such time"),
        ({"seconds": -1}, "no such time"),
        ({"seconds": -(2**63)}, "no such time"),
        ({"rate": float("nan")}, "sampling rate is no number"),
    ],
    ids=str,
)
def test_what_no_report_can_hold_is_left_out_and_the_rest_is_compared(settings, tmp_path, options, reason):
    good = [served_log([("a", "b")], seconds=seconds) for seconds in (1, 1000, LAST)]
    path = write(tmp_path / "log.tfrecord", [*good, served_log([("a", "b")], **options)])
    report = monitor(settings, [path], None, version=None, now=NOW)
    assert (report.records, report.skipped) == (3, {reason: 1})
    write_report(report, tmp_path / "report")
    assert "NaN" not in (tmp_path / "report/monitoring.json").read_text()


def test_logs_without_an_answer_of_the_model_are_refused_with_what_they_hold(tmp_path):
    path = write(tmp_path / "log.tfrecord", [served_log([("a", "b")], model="other")])
    with pytest.raises(DataError, match=r"no answers of model 'agnews' in 1 files .*another model: 1"):
        read_records([path], "agnews")


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    directory = tmp_path / "a.tfrecord"
    directory.mkdir()
    with pytest.raises(DataError, match=r"a\.tfrecord: Is a directory; name the files of the request log"):
        read_records([directory], "agnews")

    def failing(path):
        raise tf.errors.UnavailableError(None, None, "the disk")

    monkeypatch.setattr("pipeline.monitoring.observations.read_log", failing)
    with pytest.raises(DataError, match=r"b\.tfrecord: UnavailableError; name the files"):
        read_records([write(tmp_path / "b.tfrecord", [])], "agnews")


def test_a_directory_stands_for_its_logs(tmp_path):
    for name in ("b.tfrecord", "a.tfrecord.gz", "note.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in log_files([tmp_path])] == ["a.tfrecord.gz", "b.tfrecord"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \*\.tfrecord"):
        log_files([tmp_path / "empty"])


def test_hidden_files_are_no_logs_and_a_directory_is_taken_literally(tmp_path):
    for name in ("logs [1]/a.tfrecord", "logs [1]/._a.tfrecord", "logs [1]/.a.tfrecord.swp", "logs 1/b.tfrecord"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert log_files([tmp_path / "logs [1]"]) == [tmp_path / "logs [1]/a.tfrecord"]
