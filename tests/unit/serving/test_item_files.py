import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.errors import DataError
from schema.news_items import TEXT_COLUMNS, NewsItem, validate
from serving.item_files import BadRow, ItemRow, read_items


def read(data, file="items.csv", text_columns=TEXT_COLUMNS):
    return list(read_items(io.BytesIO(data), file, text_columns))


def test_columns_are_found_by_the_header():
    data = "\ufeffdescription,Class, Title ,ID\n\nsays it,3,Oil rises,a7\n".encode()
    assert read(data) == [ItemRow("items.csv", 3, NewsItem("Oil rises", "says it"), "a7")]


def test_a_text_column_is_read_as_the_title():
    assert read(b"text\nOil rises\n") == [ItemRow("items.csv", 2, NewsItem("Oil rises"))]


def test_a_file_of_ag_news_needs_no_header():
    assert read(b'"3","Oil rises","says it"\n"2","Goal","late"\n"1","Talks"\n') == [
        ItemRow("items.csv", 1, NewsItem("Oil rises", "says it")),
        ItemRow("items.csv", 2, NewsItem("Goal", "late")),
        BadRow("items.csv", 3, "2 fields, expected 3"),
    ]
    assert [row.item.title for row in read(b"Business,Oil rises,says it\n")] == ["Oil rises"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("lines", ["title,description\nOil rises,says it\n", "3,Oil rises,says it\n"])
def test_other_separators_are_read_as_in_training_data(separator, lines):
    [row] = read(lines.replace(",", separator).encode())
    assert row.item == NewsItem("Oil rises", "says it")


OWN = ("Subject", "Body", "Note")


@pytest.mark.parametrize(
    "data",
    [
        b"note,body,kind,subject\nsoon,says it,x,Oil rises\n",
        b"note;body;kind;subject\nsoon;says it;x;Oil rises\n",
        b'{"Subject": "Oil rises", "BODY": "says it", "note": "soon"}\n',
    ],
)
def test_text_columns_of_ones_own_are_joined_as_in_training_data(data):
    assert [row.item for row in read(data, text_columns=OWN)] == [NewsItem("Oil rises", "says it soon")]


def test_a_repeated_column_of_ones_own_is_refused():
    with pytest.raises(DataError, match="more than one column body"):
        read(b"subject,body,note,body\na,b,c,d\n", text_columns=OWN)
    [row] = read(b'{"subject": "a", "body": "b", "note": "c", "Body": "d"}\n', text_columns=OWN)
    assert row.reason == "body more than once in one object"


def test_a_row_of_several_lines_has_the_number_of_its_first_line():
    assert read(b'title,description\n"Oil\nrises","a ""b"""\nGoal,\n') == [
        ItemRow("items.csv", 2, NewsItem("Oil\nrises", 'a "b"')),
        ItemRow("items.csv", 4, NewsItem("Goal")),
    ]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_ends_a_row(end):
    rows = read(end.join([b"title,description", b"Oil,x\rGoal,y", b"Chip,z"]))
    assert [row.item.title for row in rows] == ["Oil", "Goal", "Chip"]
    assert [row.number for row in rows] == [2, 3, 4]
    assert len(read(end.join([b'{"title": "Oil"}', b'{"title": "Goal"}']))) == 2


def test_a_repeated_name_in_a_json_object_is_refused_by_name():
    good, bad = read(b'{"title": "a", "else": {"title": "b"}}\n{"title": "a", "title": "b"}\n')
    assert good.item.title == "a"
    assert bad.reason == "title more than once in one object"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'[{"title": "Oil"}]', "is a JSON array"),
        (b'{\n  "title": "Oil"\n}\n', "is a JSON document of many lines"),
        ("title\nOil\n".encode("utf-16"), "is UTF-16 text"),
        (gzip.compress(b"title\nOil\n", mtime=0), "is gzip data"),
        (b"title,Title\nOil,x\n", "has more than one column title"),
        (b"headline,body\nOil,x\n", "the first line has no column title or description or text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_in_another_format_is_refused(data, found):
    with pytest.raises(DataError, match=f"items.csv:? {found}"):
        read(data)


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b"[]", "expected a JSON object"), (b'{"title": []}', "title is not a text but list")],
)
def test_a_line_without_texts_is_refused(line, reason):
    _, bad = read(b'{"title": "Oil"}\n' + line)
    assert reason in bad.reason


def test_json_lines_have_the_same_names():
    data = b'{"Title": "Oil", "description": null, "ID": 7}\n\n{"text": "Goal", "else": [1]}'
    assert read(data, "-") == [ItemRow("-", 1, NewsItem("Oil"), 7), ItemRow("-", 3, NewsItem("Goal"))]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"only one", "1 field, expected 2"),
        (b" ,", "title and description are empty"),
        (b'"open,b', "does not end"),
        (b'"a"b,c', "malformed quotes"),
        (b"caf\xe9,b", "title, character 4"),
        (b"a" * 200_000 + b",b", "too long"),
        (b"a" * 3_000_000 + b",b", "too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_csv_row_is_reported_and_does_not_affect_others(line, reason):
    before, bad, after = read(b"title,description\nOil,\n" + line + b"\nGoal,\n")
    assert isinstance(bad, BadRow)
    assert str(bad).startswith("items.csv:3: ")
    assert reason in bad.reason
    assert (before.item.title, after.item.title, after.number) == ("Oil", "Goal", 4)


def test_an_open_quote_does_not_swallow_the_following_rows():
    rows = read(b'title,description\n"open,b\nOil,\n"Goal","c"\nChip,\n')
    assert [(row.number, isinstance(row, BadRow)) for row in rows] == [(2, True), (3, False), (4, False), (5, False)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b'["Oil"]', "JSON object"),
        (b'{"title": 7}', "title is not a text"),
        (b'{"title": "\\ud800"}', "title, character 1"),
        (b'{"title": "a", "id": ["b"]}', "id is neither"),
        (b'{"title": "a", "id": "\\udfff"}', "id is neither"),
        (b"{}", "empty"),
    ],
)
def test_a_bad_json_line_is_reported_with_its_number(line, reason):
    first, bad, last = read(b'{"title": "Oil"}\n' + line + b'\n{"title": "Goal"}\n')
    assert (first.item.title, last.item.title) == ("Oil", "Goal")
    assert (bad.number, reason in bad.reason) == (2, True), bad


@pytest.mark.parametrize("data", [b"x,Oil rises,says it\n", b'"open\n', b"title,title\n", b"\x00\xff\xfe"])
def test_a_file_without_a_known_header_is_refused(data):
    with pytest.raises(DataError, match=r"items\.csv"):
        read(data)


def test_an_empty_file_has_no_rows():
    assert read(b"") == []


def test_a_file_named_gz_is_decompressed():
    assert len(read(gzip.compress(b"title\nOil\n"), "items.csv.gz")) == 1


@pytest.mark.parametrize("spoil", [lambda data: data[:-10], lambda data: data[:30] + b"\xff" * 20 + data[50:]])
def test_a_broken_gzip_file_yields_its_rows_and_then_an_error(spoil):
    lines = "".join(f"Oil rises {number * 7919}\n" for number in range(20_000))
    rows = read_items(io.BytesIO(spoil(gzip.compress(b"title\n" + lines.encode()))), "items.csv.gz")
    with pytest.raises(DataError, match=r"items\.csv\.gz cannot be read after line \d+"):
        for _ in rows:
            pass


@given(
    st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(deadline=None)
def test_items_written_by_the_csv_module_are_read_back(rows, quoting, line_end):
    kept = [
        row
        for row in rows
        if validate(NewsItem(*row[:2])) is None and not any("\ud800" <= c <= "\udfff" for c in row[2])
    ]
    written = io.StringIO(newline="")
    csv.writer(written, quoting=quoting, lineterminator=line_end).writerows([("title", "description", "id"), *kept])
    assert [(row.item.title, row.item.description, row.id) for row in read(written.getvalue().encode())] == kept


@given(st.binary(max_size=300), st.sampled_from([b"title,description\n", b'{"title": "a"}\n']))
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_ordered_rows_that_can_be_written(data, start):
    rows = read(start + data)
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))
    for row in rows:
        json.dumps(row.reason if isinstance(row, BadRow) else [row.id, row.item.title], ensure_ascii=False).encode()


def test_files_may_have_the_text_columns_of_the_model():
    columns = ("betreff", "inhalt")
    item = NewsItem("Fehler", "seit heute")
    rows = read_items(io.BytesIO(b"Betreff,Inhalt,ID\nFehler,seit heute,7\n"), "a.csv", columns)
    assert list(rows) == [ItemRow("a.csv", 2, item, "7")]
    rows = read_items(io.BytesIO(b'{"Inhalt": "seit heute", "Betreff": "Fehler"}\n'), "a.jsonl", columns)
    assert list(rows) == [ItemRow("a.jsonl", 1, item)]
    with pytest.raises(DataError, match="no column betreff or inhalt or title or description or text"):
        list(read_items(io.BytesIO(b"a,b\n"), "a.csv", columns))
