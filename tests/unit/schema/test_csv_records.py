import csv
import io
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.csv_records import BadRecord, CsvRecord, read_records
from schema.news_items import RejectReason
from schema.text_files import MAX_LINE_BYTES, TextFile


def records(data):
    return list(read_records(TextFile(io.BytesIO(data), "rows.csv", "CSV")))


def fields(found):
    return [record.fields if isinstance(record, CsvRecord) else record.reason for record in found]


_FIELD = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text('",;\r\n a', max_size=12)


@given(
    st.lists(st.lists(_FIELD, min_size=1, max_size=4), max_size=6),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_output_of_the_csv_module_is_read_back(rows, quoting, line_end):
    if quoting == csv.QUOTE_MINIMAL:
        # Python 3.11 does not quote a lone CR that is not part of the line end (CPython issue 71042).
        unquoted = str.maketrans("\r\n", line_end[0] + line_end[-1])
        rows = [[field.translate(unquoted) for field in row] for row in rows]
    written = io.StringIO(newline="")
    csv.writer(written, quoting=quoting, lineterminator=line_end).writerows(rows)
    assert fields(records(written.getvalue().encode())) == rows


@given(
    st.lists(st.sampled_from([b'"', b'""', b",", b"\n", b"\r", b"a", b'","', b" ", b"\xff"]), max_size=40).map(b"".join)
)
def test_every_line_belongs_to_exactly_one_record(data):
    found = records(data)
    expected = [number for number, line in enumerate(data.splitlines(), start=1) if line.strip(b"\r\n")]
    assert sum(getattr(record, "lines", 1) for record in found) == len(expected)
    starts = [record.number for record in found]
    assert starts == sorted(set(starts))
    assert set(starts) <= set(expected)


def test_fields_may_have_any_number_of_lines():
    text = "\n".join(f"{number},200,310" for number in range(5_000))
    assert fields(records(f'"3","Table","{text}"\r"1","b","c"\r'.encode())) == [["3", "Table", text], ["1", "b", "c"]]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_unclosed_quote_rejects_only_its_own_line(end):
    data = end.join(['1,"open', "2,b,c", '3,"d",e', "", '4,"f', "g,h"])
    assert records(data.encode()) == [
        BadRecord(
            1, RejectReason.UNCLOSED_QUOTE, "a quoted field that does not end: '1,\"open" + repr(end)[1:-1] + "'…"
        ),
        CsvRecord(2, 1, ["2", "b", "c"]),
        CsvRecord(3, 1, ["3", "d", "e"]),
        BadRecord(5, RejectReason.UNCLOSED_QUOTE, "a quoted field that does not end: '4,\"f" + repr(end)[1:-1] + "'…"),
        CsvRecord(6, 1, ["g", "h"]),
    ]


def test_a_record_over_the_limit_rejects_its_first_line():
    found = records(b'1,"x\n' + (b"z" * 1000 + b'","\n') * (MAX_LINE_BYTES // 1000) + b"x,y\n")
    assert found[0].reason is RejectReason.UNCLOSED_QUOTE
    assert found[-1].fields == ["x", "y"]
    assert sum(getattr(record, "lines", 1) for record in found) == MAX_LINE_BYTES // 1000 + 2


@pytest.mark.parametrize("line", [b'x","\n', b'"\n', b'"a\n', b'1,"open\n', b'""a"\n'])
def test_time_is_linear_however_quotes_are_left_open(line):
    def seconds(lines):
        start = time.process_time()
        for _ in read_records(TextFile(io.BytesIO(line * lines), "rows.csv", "CSV")):
            pass
        return time.process_time() - start

    assert seconds(80_000) < 20 * max(seconds(10_000), 0.01)


class Endless(io.RawIOBase):
    """Yields 64 MiB of repeated bytes after a first line."""

    def __init__(self, repeated):
        self._chunks = iter([b"a,b\n", *[repeated * ((1 << 18) // len(repeated))] * 256])

    def read(self, size=-1):
        return next(self._chunks, b"")


@pytest.mark.parametrize("repeated", [b"a", b'"'], ids=["no line end", "no line end, quotes alone"])
def test_memory_does_not_grow_with_a_file_without_line_ends(repeated):
    tracemalloc.start()
    try:
        found = list(read_records(TextFile(Endless(repeated), "rows.csv", "CSV")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [fields(found)[0], fields(found)[1]] == [["a", "b"], RejectReason.TOO_LONG]
    assert peak < 12 << 20


def test_memory_does_not_grow_with_the_lines_after_an_open_quote():
    opened = io.BytesIO(b'1,"open\n' + b"2,b,c\n" * 200_000)
    tracemalloc.start()
    try:
        found = sum(1 for _ in read_records(TextFile(opened, "rows.csv", "CSV")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == 200_001
    assert peak < 12 << 20
