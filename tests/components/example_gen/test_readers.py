import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.example_gen.readers import read_rows
from components.example_gen.rows import Reason, Row, checked
from schema.errors import DataError


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_parquet_with_text_and_label_is_read(tmp_path):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up", "Goal"], label=[2, 1])
    rows = [checked(row, max_chars=100) for row in read_rows(file)]
    assert rows == [Row(2, "", "Oil up"), Row(1, "", "Goal")]


def test_parquet_with_title_and_description_is_read(tmp_path):
    file = write_parquet(tmp_path / "t.parquet", label=["World"], title=["Vote"], description=["Today"])
    assert [checked(row, max_chars=100) for row in read_rows(file)] == [Row(0, "Vote", "Today")]


def test_missing_values_in_parquet_are_rejected_not_dropped(tmp_path):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up", None, "Goal"], label=[None, 1, 7])
    reasons = [checked(row, max_chars=100).reason for row in read_rows(file)]
    assert reasons == [Reason.UNKNOWN_CLASS, Reason.EMPTY_TEXT, Reason.UNKNOWN_CLASS]


def test_bad_bytes_in_a_parquet_column_cost_one_row(tmp_path):
    table = pa.table({"text": pa.array([b"\xff\xfe", b"Goal"], pa.binary()), "label": [0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    first, second = (checked(row, max_chars=100) for row in read_rows(str(tmp_path / "train.parquet")))
    assert first.reason is Reason.BAD_UTF8
    assert second == Row(1, "", "Goal")


def test_parquet_without_a_label_says_which_columns_there_are(tmp_path):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up"], topic=[2])
    with pytest.raises(DataError, match="no column label among text, topic"):
        list(read_rows(file))


def test_a_file_that_is_no_parquet_is_an_error_that_names_it(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"train\.parquet"):
        list(read_rows(str(tmp_path / "train.parquet")))


def test_an_unknown_format_names_those_that_are_read(tmp_path):
    with pytest.raises(DataError, match=r"\.csv, \.csv\.gz, \.parquet"):
        read_rows(str(tmp_path / "train.xlsx"))


def write_tfds(path, *items):
    import tensorflow as tf

    def text(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for title, description, label in items:
            number = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
            features = {"title": text(title), "description": text(description), "label": number}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return str(path)


def test_tfds_records_are_read(tmp_path):
    file = write_tfds(
        tmp_path / "ag_news_subset-train.tfrecord-00000-of-00001", (b"Vote", b"Today", 0), (b"", b"\xff", 1)
    )
    first, second = (checked(row, max_chars=100) for row in read_rows(file))
    assert first == Row(0, "Vote", "Today")
    assert second.reason is Reason.BAD_UTF8


def test_a_broken_tfds_file_says_after_which_record(tmp_path):
    file = write_tfds(tmp_path / "ag_news_subset-train.tfrecord-00000-of-00001", *[(b"Vote", b"Today", 0)] * 3)
    os.truncate(file, os.path.getsize(file) - 5)
    with pytest.raises(DataError, match="broken after record 2"):
        list(read_rows(file))


@pytest.mark.skipif("AG_NEWS_DIR" not in os.environ, reason="needs the real data in AG_NEWS_DIR")
def test_every_real_row_is_good():
    # Read at import: the fixture of conftest.py takes the variable away from the tests.
    outcomes = [checked(row, max_chars=10_000) for row in read_rows(os.path.join(_REAL, "test.csv"))]
    assert len(outcomes) == 7600
    assert all(isinstance(row, Row) for row in outcomes)


_REAL = os.path.abspath(os.environ.get("AG_NEWS_DIR", ""))
