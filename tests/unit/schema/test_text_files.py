import gzip
import io
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import DataError
from schema.text_files import MAX_LINE_BYTES, TextFile, parse_object


def lines(data, file="rows.csv"):
    return list(TextFile(io.BytesIO(data), file, "CSV"))


class Dripping(io.RawIOBase):
    """Returns the data in chunks of given sizes, like a pipe."""

    def __init__(self, data, sizes):
        self._opened, self._sizes = io.BytesIO(data), iter(sizes)

    def read(self, size=-1):
        return self._opened.read(next(self._sizes, size))


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"bc"])).map(b"".join), st.lists(st.integers(1, 3)))
def test_lines_do_not_depend_on_the_chunks(data, sizes):
    assert list(TextFile(Dripping(data, sizes), "rows.csv", "CSV")) == data.splitlines(keepends=True)


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
@pytest.mark.parametrize("more", [-1, 0, 1, 1 << 20])
def test_a_line_over_the_limit_is_cut_but_not_the_next_one(end, more):
    first, second = lines(b"x" * (MAX_LINE_BYTES + more) + end + b"y\n")
    assert second == b"y\n"
    assert (len(first) > MAX_LINE_BYTES) == (more + len(end) > 0)


def test_the_first_line_skips_blank_lines():
    assert TextFile(io.BytesIO(b"\xef\xbb\xbf\r\n\n title\nx"), "rows.csv", "CSV").first_line == b"title"


def test_every_damage_of_a_gzip_file_is_reported_or_harmless():
    text = b"".join(b'"1","title %d","text"\n' % number for number in random.Random(1).sample(range(10**9), 40))
    whole = gzip.compress(text)
    harmless = 0
    for position in range(len(whole)):
        for damaged in (whole[:position], whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :]):
            try:
                assert b"".join(lines(damaged, "rows.csv.gz")) == text
                harmless += 1
            except DataError as error:
                assert "rows.csv.gz" in str(error)
    assert harmless < 10  # The time and the system in gzip's header.


def test_a_damaged_gzip_file_names_the_last_good_line():
    whole = gzip.compress(b"".join(b"%d\n" % number for number in random.Random(1).sample(range(10**9), 200_000)))
    damaged = whole[: len(whole) // 2] + bytes(20) + whole[len(whole) // 2 + 20 :]
    with pytest.raises(DataError, match=r"rows\.csv\.gz cannot be read after line [1-9]\d*: .*replace it"):
        lines(damaged, "rows.csv.gz")


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ("title,text\nOil,up\n".encode("utf-16"), "UTF-16"),
        ("title,text\nOil,up\n".encode("utf-16-le"), "UTF-16"),
        ("title,text\nOil,up\n".encode("utf-16-be"), "UTF-16"),
        ("title,text\nOil,up\n".encode("utf-32"), "UTF-32"),
        (gzip.compress(b"title\nOil\n", mtime=0), "gzip data"),
        (b"BZh91AY&SY", "compressed"),
        (b"PK\x03\x04\x14\0", "ZIP archive or a spreadsheet"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html><body>Log in</body></html>", "HTML"),
        (b'\xef\xbb\xbf[{"title": "Oil"}]', "a JSON array"),
        (b'[\n  {"title": "Oil"}\n]\n', "a JSON array"),
        (b'{\n  "title": "Oil"\n}\n', "a JSON document of many lines"),
    ],
)
def test_a_file_in_another_format_is_refused_by_name(data, form):
    with pytest.raises(DataError, match=rf"^rows\.csv is .*{form}.*; expected CSV\. Next: "):
        lines(data)


def test_a_file_that_is_gzipped_twice_is_refused():
    with pytest.raises(DataError, match="is gzip data"):
        lines(gzip.compress(gzip.compress(b"title\n")), "rows.csv.gz")


def test_an_empty_file_has_no_lines_but_is_not_a_gzip_file():
    assert lines(b"") == []
    assert lines(gzip.compress(b""), "rows.csv.gz") == []
    with pytest.raises(DataError, match=r"rows\.csv\.gz is empty"):
        lines(b"", "rows.csv.gz")


def test_deflated_data_without_a_gzip_header_is_refused():
    with pytest.raises(DataError, match="Not a gzipped file"):
        lines(zlib.compress(b"title\n"), "rows.csv.gz")


def test_an_object_of_very_many_names_is_read_at_once():
    """Counting each name in the list of all would take minutes for a line of the greatest length."""
    line = json.dumps({str(number): 0 for number in range(80_000)}).encode()
    assert len(line) < MAX_LINE_BYTES
    assert len(parse_object(line)) == 80_000
