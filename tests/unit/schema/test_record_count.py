import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema import record_count


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", 0),
        (b"\xef\xbb\xbf\n", 0),
        (b"a", 1),
        (b"a\rb\r\nc\n\r \t\n d", 5),
        (b"\xff\n\xff", 2),
        (b"\0\n\x1c\n", 2),
    ],
)
def test_non_empty_lines_are_counted(tmp_path, name, data, lines):
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert record_count.count_lines(str(tmp_path / name)) == lines


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b" "])).map(b"".join))
def test_the_count_does_not_depend_on_the_chunks(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("count") / "rows.csv"
    path.write_bytes(data)
    whole_chunk = record_count._CHUNK_BYTES
    try:
        record_count._CHUNK_BYTES = 1
        assert record_count.count_lines(str(path)) == sum(1 for line in data.splitlines() if line.strip(b"\r\n"))
    finally:
        record_count._CHUNK_BYTES = whole_chunk


def test_parquet_rows_of_all_row_groups_are_counted(tmp_path):
    pq.write_table(pa.table({"text": ["a"] * 7}), tmp_path / "rows.parquet", row_group_size=2)
    assert record_count.count_parquet_rows(str(tmp_path / "rows.parquet")) == 7
