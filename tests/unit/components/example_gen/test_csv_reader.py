import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.csv_reader import read_csv
from components.example_gen.row_format import RowFormat
from components.example_gen.rows import NoRow, RawRow, RejectedRow, validate_row
from schema.errors import DataError
from schema.news_items import RejectReason


@pytest.fixture
def read(tmp_path):
    def read(data, name="train.csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return list(read_csv(str(path)))

    return read


def texts(rows):
    return [(row.label, row.title, row.description) for row in rows if isinstance(row, RawRow)]


def reasons(rows):
    return [(row.number, row.reason) for row in rows if isinstance(row, RejectedRow)]


def test_official_rows_have_classes_from_1_and_doubled_quotes(read):
    rows = read('"3","Oil, up","He said ""no""."\n"1","Vote","Today"\n')
    assert texts(rows) == [(2, "Oil, up", 'He said "no".'), (0, "Vote", "Today")]


def test_backslashes_and_entities_are_kept(read):
    assert texts(read('"4","A #39;s","one\\two &lt;b&gt;"\n')) == [(3, "A #39;s", "one\\two &lt;b&gt;")]


def test_gzipped_files_are_read(read):
    assert texts(read(gzip.compress(b'"2","Goal","Two"\n'), "train.csv.gz")) == [(1, "Goal", "Two")]


def test_a_truncated_gzip_file_is_reported_by_name(read):
    with pytest.raises(DataError, match=r"train\.csv\.gz"):
        read(gzip.compress(b'"2","Goal","Two"\n' * 100)[:-12], "train.csv.gz")


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("Class Index,Title,Description", "1,Vote,Today", (0, "Vote", "Today")),
        ("title,description,label", "Vote,Today,0", (0, "Vote", "Today")),
        ("text,label", "Vote today,3", (3, "", "Vote today")),
        ("id,label,source,title,description", "77,2,web,Oil,Up", (2, "Oil", "Up")),
        ("label,text", "Sports,Goal", (1, "", "Goal")),
    ],
)
def test_headers_name_the_columns(read, header, row, expected):
    assert texts(read(f"{header}\n{row}\n")) == [expected]


def test_a_header_without_text_columns_is_refused(read):
    with pytest.raises(DataError, match="title and description, or text"):
        read("label,title\n1,Vote\n")


def test_a_first_row_of_data_is_not_read_as_header(read):
    assert texts(read('"1","Title","Text"\n')) == [(0, "Title", "Text")]


def test_byte_order_mark_and_windows_line_ends_are_skipped(read):
    assert texts(read(b'\xef\xbb\xbf"1","Vote","Today"\r\n"2","Goal","Two"\r\n')) == [
        (0, "Vote", "Today"),
        (1, "Goal", "Two"),
    ]


def test_a_quoted_field_may_hold_line_ends(read):
    assert texts(read('"1","Vote","one\ntwo\n\nthree"\n"2","Goal","Two"\n')) == [
        (0, "Vote", "one\ntwo\n\nthree"),
        (1, "Goal", "Two"),
    ]


def test_wrong_field_counts_are_rejected_with_their_line(read):
    rows = read('"1","Vote","Today"\n"1","Vote"\n"1","a","b","c"\n')
    assert reasons(rows) == [(2, RejectReason.WRONG_FIELD_COUNT), (3, RejectReason.WRONG_FIELD_COUNT)]


def test_an_unclosed_quote_rejects_only_its_own_row(read):
    rows = read('"1","Vote","Today\n"2","Goal","Two"\n"3","Oil","Up"\n')
    assert reasons(rows) == [(1, RejectReason.UNCLOSED_QUOTE)]
    assert texts(rows) == [(1, "Goal", "Two"), (2, "Oil", "Up")]


def test_an_unclosed_quote_at_the_end_is_rejected(read):
    assert reasons(read('"1","Vote","Today"\n"2","Goal')) == [(2, RejectReason.UNCLOSED_QUOTE)]


def test_text_after_a_closing_quote_is_rejected(read):
    assert reasons(read('"1","Vote"x,"Today"\n')) == [(1, RejectReason.MALFORMED_QUOTES)]


@pytest.mark.parametrize("ends", [["\r"] * 3, ["\n", "\r", "\n"], ["\r\n", "\r", "\r\n"]], ids=ascii)
def test_every_line_end_ends_a_row(read, ends):
    text = "".join(f'"{number}","Vote","Today"{end}' for number, end in enumerate(ends, start=1))
    assert texts(read(text)) == [(label, "Vote", "Today") for label in range(3)]


def test_lines_within_a_quoted_field_are_not_rows(read):
    table = "In millions:\n1,200,310\n2,450,120\nEnd."
    assert texts(read(f'"3","Table","{table}"\n')) == [(2, "Table", table)]


def test_a_quoted_field_may_have_hundreds_of_lines(read):
    text = "\n".join(f"line {number}" for number in range(300))
    assert texts(read(f'"1","Vote","{text}"\n"2","Goal","Two"\n')) == [(0, "Vote", text), (1, "Goal", "Two")]


@pytest.mark.parametrize("names", ["label,text,text", "Label,Title,label,Description", "title,class,description,Title"])
def test_a_repeated_column_is_refused_by_name(read, names):
    with pytest.raises(DataError, match=r"train\.csv has more than one column (text|label|title); keep only one"):
        read(f"{names}\n" + "1,a,b,c\n")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("label,headline\n1,Vote\n", "has the columns label, headline; text is missing. It needs a class column"),
        ('{"label": 1, "title": "Vote"}\n', "is JSON; expected CSV"),
        ('"1","Vote","Today"\n'.encode("utf-16"), "is UTF-16 text; expected CSV"),
        (gzip.compress(b'"1","Vote","Today"\n', mtime=0), "is gzip data; expected CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "is a Git LFS pointer"),
        ("<html><head><title>Log in</title>", "is an HTML or XML page; expected CSV"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith(("is", "the")) else "",
)
def test_a_file_in_another_format_is_refused(read, data, found):
    with pytest.raises(DataError, match="train\\.csv.*" + found):
        read(data)


def test_other_separators_within_texts_are_accepted(read):
    assert texts(read('"1","Vote; again","Today | now\tand"\n')) == [(0, "Vote; again", "Today | now\tand")]


def test_a_line_of_a_megabyte_is_rejected_and_the_next_is_read(read):
    rows = read(b'"1","' + b"x" * (3 << 20) + b'","y"\n"2","Goal","Two"\n')
    assert reasons(rows) == [(1, RejectReason.TOO_LONG)]
    assert texts(rows) == [(1, "Goal", "Two")]


def test_invalid_utf8_is_kept_for_validation(read):
    [row] = read(b'"1","Vote \xff","Today"\n')
    with pytest.raises(UnicodeEncodeError):
        row.title.encode()


def test_blank_lines_are_skipped(read):
    rows = read('\n"1","Vote","Today"\n\n\n"2","Goal","Two"\n  \n')
    assert (len(texts(rows)), reasons(rows)) == (2, [])


def test_an_unreadable_file_is_reported_by_name(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv"):
        list(read_csv(str(tmp_path / "gone.csv")))


_FIELD = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.lists(st.tuples(st.integers(1, 4), _FIELD, _FIELD), max_size=8),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_written_csv_is_read_back(tmp_path_factory, items, quoting, line_end):
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting, lineterminator=line_end).writerows(items)
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    path.write_bytes(file.getvalue().encode())
    assert texts(read_csv(str(path))) == [(label - 1, title, text) for label, title, text in items]


@given(st.binary(max_size=300))
def test_any_bytes_give_rows_or_rejected_rows(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    path.write_bytes(b'"1","Vote","Today"\n' + data)
    rows = [row for row in read_csv(str(path)) if not isinstance(row, NoRow)]
    assert all(isinstance(row, RawRow | RejectedRow) for row in rows)
    numbers = [row.number for row in rows]
    assert numbers == sorted(set(numbers))
    assert rows[0].number == 1


@given(st.lists(st.sampled_from(["good", '"1","a"', '"x","a","b"', '"1","a"b,"c"', "1,2,3,4"]), max_size=20))
def test_every_line_is_accounted_for(tmp_path_factory, kinds):
    lines = ['"1","Vote","Today"' if kind == "good" else kind for kind in kinds]
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    path.write_text('"1","Vote","Today"\n' + "\n".join(lines) + "\n")
    assert [row.number for row in read_csv(str(path))] == list(range(1, len(lines) + 2))


@pytest.mark.parametrize(
    "data",
    ['"1";"Vote";"Today, at noon"\n', "1\tVote\tToday, at noon\n", "class|title|description\n1|Vote|Today, at noon\n"],
    ids=["semicolons", "tabs", "vertical bars"],
)
def test_other_separators_are_read(read, data):
    assert texts(read(data)) == [(0, "Vote", "Today, at noon")]


TICKETS = RowFormat("Kategorie", ("Betreff", "Text", "Nachtrag"), class_names=("Rechnung", "Störung"))


def test_columns_with_other_names_are_joined_in_order(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_bytes("\ufeffBetreff;Nr;Text;Kategorie;Nachtrag\nAlarm;7;Kein Strom;Störung;seit gestern\n".encode())
    assert texts(read_csv(str(path), TICKETS)) == [(1, "Alarm", "Kein Strom seit gestern")]


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("Betreff,Text\nAlarm,Kein Strom\n")
    with pytest.raises(DataError, match=r"tickets\.csv has the columns betreff, text; kategorie, nachtrag is missing"):
        list(read_csv(str(path), TICKETS))


def test_an_unknown_class_is_shown_with_the_known_ones(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("Betreff,Text,Nachtrag,Kategorie\nAlarm,Kein Strom,,Versand\n")
    [_, row] = read_csv(str(path), TICKETS)
    rejected = validate_row(row, max_chars=100, class_names=TICKETS.class_names)
    assert (rejected.number, rejected.detail) == (2, "class 'Versand', known are Rechnung, Störung")
