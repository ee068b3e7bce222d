"""Reads AG News CSV files row by row, and accepts any bytes in them.

The official files have no header and three quoted fields: class (1 to 4), title and description. A quote within a
field is doubled (RFC 4180). Files with a header may have their columns in any order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components.example_gen.rows import NoRow, RawRow, RejectedRow, parse_label
from schema.csv_records import BadRecord, read_records, refuse_other_separator, refuse_repeated_columns
from schema.errors import DataError
from schema.news_items import RejectReason
from schema.text_files import TextFile

# Names of the class column, each with the number of the first class.
_CLASS_COLUMNS = {"class index": 1, "class_index": 1, "class": 1, "label": 0}
_TEXT_COLUMNS = ("title", "description", "text")
EXPECTED = (
    "CSV in UTF-8 with the columns class, title and description, or with a header that names one of "
    f"{', '.join(_CLASS_COLUMNS)} and either title and description, or text"
)


@dataclass(frozen=True)
class _Layout:
    """Indices of the columns, from 0; `title` is None in files with a single text column."""

    width: int
    class_: int
    title: int | None
    description: int
    first_class: int


_OFFICIAL = _Layout(width=3, class_=0, title=1, description=2, first_class=1)


def read_csv(file: str) -> Iterator[RawRow | RejectedRow | NoRow]:
    """Reads the rows of a CSV file, which is gzipped if its name ends in `.gz`.

    Args:
        file: local path.

    Yields:
        Rows and rejected rows, and `NoRow` for the header and blank lines.

    Raises:
        DataError: the file cannot be read or is not CSV, or its header lacks or repeats a column.
    """
    try:
        with open(file, "rb") as opened:
            text = TextFile(opened, file, EXPECTED)
            if text.first_line.startswith(b"{"):
                raise DataError(f"{file} is JSON; expected {EXPECTED}. Next: convert it to CSV")
            refuse_other_separator(text.first_line, lambda fields: _is_official(fields) or _is_header(fields), file)
            yield from _rows(text, file)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; replace it with a readable file") from error


def _rows(text: TextFile, file: str) -> Iterator[RawRow | RejectedRow | NoRow]:
    layout = _OFFICIAL
    began = False
    for record in read_records(text):
        if isinstance(record, BadRecord):
            yield RejectedRow(file, record.number, record.reason, record.detail)
        elif not began and _is_header(record.fields):
            layout = _layout(record.fields, file)
            yield NoRow(record.lines)
        else:
            number, lines, fields = record
            if len(fields) == 1 and not fields[0].strip():
                yield NoRow(lines)
                continue
            if len(fields) != layout.width:
                detail = f"{len(fields)} fields, expected {layout.width}"
                yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, detail, lines)
            else:
                title = "" if layout.title is None else fields[layout.title]
                class_as_read = fields[layout.class_]
                label = parse_label(class_as_read, first=layout.first_class)
                yield RawRow(file, number, label, title, fields[layout.description], class_as_read, lines)
        began = True


def _is_official(fields: list[str]) -> bool:
    """Returns whether the fields are a row of a file without a header."""
    return len(fields) == _OFFICIAL.width and parse_label(fields[0], first=_OFFICIAL.first_class) is not None


def _is_header(fields: list[str]) -> bool:
    """Returns whether the fields are column names: at least one is known, and none is a number."""
    names = _names(fields)
    known = any(name in _CLASS_COLUMNS or name in _TEXT_COLUMNS for name in names)
    return known and not any(name.isdecimal() for name in names) and not _is_official(fields)


def _names(fields: list[str]) -> list[str]:
    return [field.strip().lower() for field in fields]


def _layout(header: list[str], file: str) -> _Layout:
    """Returns the layout that a header describes.

    Raises:
        DataError: the header lacks or repeats a column.
    """
    names = _names(header)
    refuse_repeated_columns(names, (*_CLASS_COLUMNS, *_TEXT_COLUMNS), file)
    class_column = next((name for name in names if name in _CLASS_COLUMNS), None)
    split_text = {"title", "description"} <= set(names)
    if class_column is None or not (split_text or "text" in names):
        raise DataError(f"{file}: the header has the columns {', '.join(names)}; expected {EXPECTED}")
    return _Layout(
        width=len(names),
        class_=names.index(class_column),
        title=names.index("title") if split_text else None,
        description=names.index("description" if split_text else "text"),
        first_class=_CLASS_COLUMNS[class_column],
    )
