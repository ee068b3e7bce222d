import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen import csv_reader, readers
from components.example_gen.readers import read_rows
from components.example_gen.rows import LabelledItem, RawRow, RejectedRow, validate_row
from schema import record_count
from schema.errors import DataError
from schema.news_items import RejectReason
from tests.support.own_data import write_tfds


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_parquet_with_text_and_label_is_read(tmp_path):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up", "Goal"], label=[2, 1])
    rows = [validate_row(row, max_chars=100) for row in read_rows(file)]
    assert rows == [LabelledItem("", "Oil up", label=2), LabelledItem("", "Goal", label=1)]


def test_parquet_with_title_and_description_is_read(tmp_path):
    file = write_parquet(tmp_path / "t.parquet", label=["World"], title=["Vote"], description=["Today"])
    assert [validate_row(row, max_chars=100) for row in read_rows(file)] == [LabelledItem("Vote", "Today", label=0)]


def test_missing_values_in_parquet_are_rejected_not_dropped(tmp_path):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up", None, "Goal"], label=[None, 1, 7])
    reasons = [validate_row(row, max_chars=100).reason for row in read_rows(file)]
    assert reasons == [RejectReason.UNKNOWN_CLASS, RejectReason.EMPTY_TEXT, RejectReason.UNKNOWN_CLASS]


def test_invalid_utf8_in_a_parquet_column_rejects_one_row(tmp_path):
    table = pa.table({"text": pa.array([b"\xff\xfe", b"Goal"], pa.binary()), "label": [0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    first, second = (validate_row(row, max_chars=100) for row in read_rows(str(tmp_path / "train.parquet")))
    assert first.reason is RejectReason.BAD_UTF8
    assert second == LabelledItem("", "Goal", label=1)


def test_parquet_without_a_label_is_refused_with_its_columns(tmp_path):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up"], topic=[2])
    with pytest.raises(DataError, match="has the columns text, topic; label is missing"):
        list(read_rows(file))


def test_a_file_that_is_not_parquet_is_reported_by_name(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"train\.parquet"):
        list(read_rows(str(tmp_path / "train.parquet")))


def test_an_unknown_format_lists_the_supported_ones(tmp_path):
    with pytest.raises(DataError, match=r"\.csv, \.tsv and \.jsonl, each also as \.gz, \.parquet"):
        read_rows(str(tmp_path / "train.xlsx"))


def test_tfds_records_are_read(tmp_path):
    file = write_tfds(
        tmp_path / "ag_news_subset-train.tfrecord-00000-of-00001", (b"Vote", b"Today", 0), (b"", b"\xff", 1)
    )
    first, second = (validate_row(row, max_chars=100) for row in read_rows(file))
    assert first == LabelledItem("Vote", "Today", label=0)
    assert second.reason is RejectReason.BAD_UTF8


def test_a_broken_tfds_file_names_the_last_good_record(tmp_path):
    file = write_tfds(tmp_path / "ag_news_subset-train.tfrecord-00000-of-00001", *[(b"Vote", b"Today", 0)] * 3)
    os.truncate(file, os.path.getsize(file) - 5)
    with pytest.raises(DataError, match="broken after record 2"):
        list(read_rows(file))


def test_a_feature_with_two_values_is_rejected(tmp_path):
    import tensorflow as tf

    features = tf.train.Features(
        feature={
            "title": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"Vote", b"Goal"])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[0])),
        }
    )
    file = str(tmp_path / "ag_news_subset-train.tfrecord-00000-of-00001")
    with tf.io.TFRecordWriter(file) as writer:
        writer.write(tf.train.Example(features=features).SerializeToString())
    [row] = read_rows(file)
    assert (row.reason, row.detail) == (RejectReason.WRONG_FIELD_COUNT, "2 values of one feature, expected 1")


def test_tfrecords_are_counted_by_their_lengths(tmp_path):
    file = write_tfds(tmp_path / "a.tfrecord", (b"", b"", 0), (b"Vote", b"x" * 1000, 0), (b"Goal", b"Two", 1))
    with open(file, "rb") as opened:
        assert record_count.count_tfrecords(opened) == 3


def flips_and_cuts(data, step=1):
    for position in range(0, len(data), step):
        yield data[:position]
        yield data[:position] + bytes([data[position] ^ 0x80]) + data[position + 1 :]


def test_every_damage_of_a_parquet_file_is_reported_by_name(tmp_path):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": ["Oil up", "Goal"], "label": [2, 1]}), path, write_page_checksum=True)
    whole = list(read_rows(str(path)))
    for damaged in flips_and_cuts(path.read_bytes(), step=5):
        path.write_bytes(damaged)
        try:
            assert list(read_rows(str(path))) == whole
        except DataError as error:
            assert "train.parquet" in str(error)


def test_every_damage_of_a_tfds_file_is_reported_by_name(tmp_path):
    path = tmp_path / "ag_news_subset-train.tfrecord-00000-of-00001"
    write_tfds(path, (b"Vote", b"Today", 0))
    for damaged in flips_and_cuts(path.read_bytes(), step=3):
        if damaged:
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=path.name):
                list(read_rows(str(path)))


def test_a_repeated_parquet_column_is_refused_by_name(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([1])], ["text", "text", "label"])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet has more than one column text"):
        list(read_rows(str(tmp_path / "train.parquet")))


@pytest.mark.parametrize("name", ["train.parquet", "ag_news_subset-train.tfrecord-00000-of-00001"])
@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><body>Log in</body></html>", "HTML"),
    ],
)
def test_a_file_in_another_format_is_named_by_every_reader(tmp_path, name, data, form):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name} is .*{form}"):
        list(read_rows(str(tmp_path / name)))


@given(st.binary(max_size=300))
def test_rows_and_rejected_rows_cover_any_file(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    path.write_bytes(b'"1","Vote","Today"\r' + data)
    assert all(isinstance(row, RawRow | RejectedRow) for row in read_rows(str(path)))
    # Lines of blanks are not rows, but they are covered.
    assert sum(row.lines for row in csv_reader.read_csv(str(path))) == record_count.count_lines(str(path))


@pytest.mark.parametrize("header", ["", "\nlabel,title,description\n", '"label\n",title,description\n'])
def test_the_header_is_covered_too(tmp_path, header):
    (tmp_path / "train.csv").write_text(header + "1,Vote,Today\n\n" * 2)
    assert len(list(read_rows(str(tmp_path / "train.csv")))) == 2
    (tmp_path / "train.csv").write_text(header)
    assert list(read_rows(str(tmp_path / "train.csv"))) == []


def test_a_skipped_line_is_detected(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text("1,Vote,Today\n" * 3)
    read_records = csv_reader.read_records
    monkeypatch.setattr(csv_reader, "read_records", lambda *arguments: list(read_records(*arguments))[:-1])
    with pytest.raises(DataError, match=r"train\.csv has 3 lines that are not empty, but .* covered 2"):
        list(read_rows(str(tmp_path / "train.csv")))


def test_a_file_deleted_while_it_is_read_is_reported_by_name(tmp_path):
    (tmp_path / "train.csv").write_text("1,Vote,Today\n")
    rows = read_rows(str(tmp_path / "train.csv"))
    next(rows)
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match=r"train\.csv changed while it was read"):
        next(rows)


def test_skipped_parquet_rows_are_detected(tmp_path, monkeypatch):
    file = write_parquet(tmp_path / "train.parquet", text=["Oil up", "Goal"], label=[2, 1])
    read_all = readers._read_parquet
    monkeypatch.setattr(readers, "_read_parquet", lambda file, row_format: list(read_all(file, row_format))[:-1])
    with pytest.raises(DataError, match=r"train\.parquet has 2 rows, but .* covered 1"):
        list(read_rows(file))


@pytest.mark.skipif("AG_NEWS_DIR" not in os.environ, reason="needs the real data in AG_NEWS_DIR")
def test_every_real_row_is_valid():
    # Read at import, since a fixture of conftest.py removes the variable during tests.
    outcomes = [validate_row(row, max_chars=10_000) for row in read_rows(os.path.join(_REAL, "test.csv"))]
    assert len(outcomes) == 7600
    assert all(isinstance(row, LabelledItem) for row in outcomes)


_REAL = os.path.abspath(os.environ.get("AG_NEWS_DIR", ""))
