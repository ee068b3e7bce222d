import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.errors import DataError
from serving.item_files import BadRow, Row, read_items
from serving.items import NewsItem


def read(data, file="items.csv"):
    return list(read_items(io.BytesIO(data), file))


def test_columns_are_found_by_the_header():
    data = "\ufeffdescription,Class, Title ,ID\n\nsays it,3,Oil rises,a7\n".encode()
    assert read(data) == [Row("items.csv", 3, NewsItem("Oil rises", "says it"), "a7")]


def test_a_text_column_counts_as_title():
    assert read(b"text\nOil rises\n") == [Row("items.csv", 2, NewsItem("Oil rises"))]


def test_a_quoted_field_may_hold_line_ends_and_the_row_has_its_first_lines_number():
    assert read(b'title,description\n"Oil\nrises","a ""b"""\nGoal,\n') == [
        Row("items.csv", 2, NewsItem("Oil\nrises", 'a "b"')),
        Row("items.csv", 4, NewsItem("Goal")),
    ]


def test_json_lines_have_the_same_names():
    data = b'{"title": "Oil", "description": null, "id": 7}\n\n{"text": "Goal", "else": [1]}'
    assert read(data, "-") == [Row("-", 1, NewsItem("Oil"), 7), Row("-", 3, NewsItem("Goal"))]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"only one", "1 fields, the header has 2"),
        (b" ,", "title and description are empty"),
        (b'"open,b', "does not end"),
        (b'"a"b,c', "no CSV"),
        (b"caf\xe9,b", "title, character 4"),
        (b"a" * 200_000 + b",b", "no CSV"),
        (b"a" * 3_000_000 + b",b", "no CSV"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_csv_row_is_told_with_its_place_and_hides_no_other(line, reason):
    before, bad, after = read(b"title,description\nOil,\n" + line + b"\nGoal,\n")
    assert isinstance(bad, BadRow)
    assert str(bad).startswith("items.csv:3: ")
    assert reason in bad.reason
    assert (before.item.title, after.item.title, after.number) == ("Oil", "Goal", 4)


def test_an_open_quote_does_not_swallow_the_rows_up_to_the_next_quote():
    rows = read(b'title,description\n"open,b\nOil,\n"Goal","c"\nChip,\n')
    assert [(row.number, isinstance(row, BadRow)) for row in rows] == [(2, True), (3, False), (4, False), (5, False)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'["Oil"]', "JSON object"),
        (b'{"title": 7}', "title is no text"),
        (b'{"title": "\\ud800"}', "title, character 1"),
        (b'{"title": "a", "id": ["b"]}', "id is neither"),
        (b'{"title": "a", "id": "\\udfff"}', "id is neither"),
        (b"{}", "empty"),
    ],
)
def test_a_bad_json_line_is_told_with_its_place(line, reason):
    first, bad, last = read(b'{"title": "Oil"}\n' + line + b'\n{"title": "Goal"}\n')
    assert (first.item.title, last.item.title) == ("Oil", "Goal")
    assert (bad.number, reason in bad.reason) == (2, True), bad


@pytest.mark.parametrize("data", [b"3,Oil rises,says it\n", b'"open\n', b"title,title\n", b"\x00\xff\xfe"])
def test_without_a_header_of_these_names_the_file_is_refused(data):
    with pytest.raises(DataError, match=r"items\.csv"):
        read(data)


def test_an_empty_file_has_no_rows():
    assert read(b"") == []


def test_a_gzipped_file_is_read_by_its_name():
    assert len(read(gzip.compress(b"title\nOil\n"), "items.csv.gz")) == 1


@pytest.mark.parametrize("spoil", [lambda data: data[:-10], lambda data: data[:30] + b"\xff" * 20 + data[50:]])
def test_a_broken_gzip_file_gives_its_rows_and_then_an_error(spoil):
    lines = "".join(f"Oil rises {number * 7919}\n" for number in range(20_000))
    rows = read_items(io.BytesIO(spoil(gzip.compress(b"title\n" + lines.encode()))), "items.csv.gz")
    with pytest.raises(DataError, match=r"items\.csv\.gz, after line \d+"):
        for _ in rows:
            pass


def test_memory_stays_bounded_by_the_line():
    class Endless(io.RawIOBase):
        """A header, then a gigabyte without a line end."""

        left = 1 << 30

        def readline(self, size=-1):
            if self.left == 1 << 30:
                self.left -= 6
                return b"title\n"
            self.left -= min(size, self.left)
            return b"a" * min(size, self.left)

    import tracemalloc

    tracemalloc.start()
    try:
        [bad] = read_items(Endless(), "items.csv")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(bad, BadRow)


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5))
@settings(deadline=None)
def test_what_the_csv_module_writes_comes_back(rows):
    import csv

    kept = [row for row in rows if not NewsItem(*row[:2]).flaw() and not any("\ud800" <= c <= "\udfff" for c in row[2])]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("title", "description", "id"), *kept])
    assert [(row.item.title, row.item.description, row.id) for row in read(written.getvalue().encode())] == kept


@given(st.binary(max_size=300), st.sampled_from([b"title,description\n", b'{"title": "a"}\n']))
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_rows_in_order_and_each_can_be_written(data, start):
    rows = read(start + data)
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))
    for row in rows:
        json.dumps(row.reason if isinstance(row, BadRow) else [row.id, row.item.title], ensure_ascii=False).encode()
