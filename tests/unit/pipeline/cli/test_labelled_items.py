import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.canary import read_items_with_classes
from schema.errors import DataError
from schema.news_items import NewsItem

OIL = NewsItem("Oil rises", "to a record")


@pytest.mark.parametrize(
    ("name", "text", "true_class"),
    [
        ("official.csv", '"3","Oil rises","to a record"\n', "Business"),
        ("header.csv", "title,label,description\nOil rises,2,to a record\n", "Business"),
        ("names.csv", "class,title,description\nBusiness,Oil rises,to a record\n", "Business"),
        ("unlabelled.csv", "title,description\nOil rises,to a record\n", None),
        ("items.jsonl", '{"title": "Oil rises", "description": "to a record"}\n', None),
    ],
)
def test_a_file_of_the_training_data_has_classes_another_one_has_none(tmp_path, name, text, true_class):
    (tmp_path / name).write_text(text)
    assert read_items_with_classes(tmp_path / name) == ([(OIL, true_class)], [])


def test_a_gzipped_file_is_read_too(tmp_path):
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(b'"3","Oil rises","to a record"\n'))
    assert read_items_with_classes(tmp_path / "test.csv.gz")[0] == [(OIL, "Business")]


def test_bad_rows_are_named_and_left_out(tmp_path):
    (tmp_path / "test.csv").write_text('"3","Oil rises","to a record"\n"9","a","b"\n"1","",""\n"1","a"\n')
    items, bad = read_items_with_classes(tmp_path / "test.csv")
    assert len(items) == 1
    assert [line.split(": ")[0].rpartition(":")[2] for line in bad] == ["2", "3", "4"]
    assert "the class '9' is unknown" in bad[0]


def test_what_is_wrong_with_a_parquet_file_is_said_of_the_parquet_file(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array([1])], ["text", "text", "label"])
    pq.write_table(table, tmp_path / "test.parquet")
    with pytest.raises(DataError, match="more than one column text"):
        read_items_with_classes(tmp_path / "test.parquet")


@pytest.mark.parametrize("text", [None, "nothing,that\nis,known\n"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "test.csv").write_text(text)
    with pytest.raises(DataError, match=r"test\.csv"):
        read_items_with_classes(tmp_path / "test.csv")
