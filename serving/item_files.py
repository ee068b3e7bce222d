"""Reads texts from CSV and JSON Lines files; a bad row is reported with its line and does not affect others.

CSV (RFC 4180) has a header with the text columns of the model, or `title` and `description`, or `text`, which is read
as the title, and optionally `id`; other columns are ignored. The files of AG News have no header, and the fields class,
title and description; the class is ignored. JSON Lines has one object per line with the same names. The first line
determines the format, and the separator of CSV: a comma, a semicolon, a tab or a vertical bar.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from schema.csv_records import BadRecord, find_separator, read_records, refuse_repeated_columns
from schema.data_set import AG_NEWS
from schema.errors import DataError
from schema.news_items import KNOWN_FIELDS, TEXT_COLUMNS, NewsItem, validate
from schema.text_files import TextFile, parse_object
from schema.wording import amount

_AG_NEWS_COLUMNS = ["class", "title", "description"]
_EXPECTED = "CSV in UTF-8 with a header that names title, description or text, or JSON Lines with these names"

Key = str | int | float | None
"""Type of the optional `id` of a row."""


@dataclass(frozen=True)
class ItemRow:
    """A valid row: its file, its line from 1, its item, and the `id` from the file, for joining the results."""

    file: str
    number: int
    item: NewsItem
    id: Key = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be classified: its file, its line from 1, and the reason."""

    file: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.reason}"


@dataclass(frozen=True)
class ReadColumns:
    """The columns of a file that are read; their names are in lower case.

    Attributes:
        texts: columns whose values are texts.
        needed: groups of columns; the header of a CSV file names one or more of each group.
        others: columns that may be absent.
        expected: expected format, for messages.
        may_lack_header: whether the file may be one of AG News, which has no header.
    """

    texts: Sequence[str]
    needed: Sequence[Sequence[str]]
    others: Sequence[str]
    expected: str
    may_lack_header: bool = False

    def known(self) -> list[str]:
        """Returns the names of all columns that are read."""
        return [*itertools.chain.from_iterable(self.needed), *self.others]

    def missing(self, header: list[str]) -> Sequence[str]:
        """Returns the first group of which a header names no column; () if there is none."""
        names = [name.strip().lower() for name in header]
        return next((group for group in self.needed if not {*group} & {*names}), ())

    def without_text(self, fields: Mapping[str, Any]) -> list[str]:
        """Returns the columns whose value should be a text and is of another type."""
        return [name for name in self.texts if not isinstance(fields.get(name), str | None)]


def read_items(opened: IO[bytes], file: str, columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[ItemRow | BadRow]:
    """Reads the rows of a file in bounded memory.

    Args:
        opened: the open file.
        file: name of the file, for messages; a file whose name ends in `.gz` is decompressed.
        columns: text columns of the model, in order.

    Raises:
        DataError: the header of a CSV file lacks or repeats a column, the file has another format, or it cannot be read
            to its end.
    """
    names = text_names(columns)
    for number, fields in read_fields(opened, file, ReadColumns(names, [names], ["id"], _EXPECTED, True)):
        yield BadRow(file, number, fields) if isinstance(fields, str) else _row(file, number, fields, columns)


def read_fields(opened: IO[bytes], file: str, columns: ReadColumns) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Reads the rows of CSV or JSON Lines in bounded memory.

    Args:
        opened: the open file.
        file: name of the file, for messages; a file whose name ends in `.gz` is decompressed.
        columns: the columns to read.

    Yields:
        The number of a row's first line, from 1, and its fields by name in lower case, or what is wrong with it.

    Raises:
        DataError: the header of a CSV file lacks or repeats a column, the file has another format, or it cannot be read
            to its end.
    """
    text = TextFile(opened, file, columns.expected)
    rows = _json_rows(text, columns) if text.first_line.startswith(b"{") else _csv_rows(text, file, columns)
    for number, fields in rows:
        if isinstance(fields, str) or not (bad := columns.without_text(fields)):
            yield number, fields
        else:
            yield number, f"{bad[0]} is not a text but {type(fields[bad[0]]).__name__}"


def _json_rows(text: TextFile, columns: ReadColumns) -> Iterator[tuple[int, dict[str, Any] | str]]:
    known = columns.known()
    return ((number, parse_object(line, known)) for number, line in enumerate(text, start=1) if not line.isspace())


def _csv_rows(text: TextFile, file: str, columns: ReadColumns) -> Iterator[tuple[int, dict[str, Any] | str]]:
    def is_row(fields: list[str]) -> bool:
        return columns.may_lack_header and _is_ag_news(fields)

    separator = find_separator(text.first_line, lambda fields: not columns.missing(fields) or is_row(fields))
    header: list[str] | None = None
    for record in read_records(text, separator):
        if header is None:
            fields = [] if isinstance(record, BadRecord) else record.fields
            if not is_row(fields):
                header = _header(fields, file, columns)
                continue
            header = _AG_NEWS_COLUMNS
        if isinstance(record, BadRecord):
            yield record.number, f"{record.reason.replace('_', ' ')}: {record.detail}"
        elif len(record.fields) != len(header):
            yield record.number, f"{amount(len(record.fields), 'field')}, expected {len(header)}"
        else:
            yield record.number, dict(zip(header, record.fields, strict=True))


def _is_ag_news(fields: list[str]) -> bool:
    """Returns whether the fields are a row of an AG News file, which has no header."""
    return len(fields) == len(_AG_NEWS_COLUMNS) and (fields[0].isdecimal() or fields[0] in AG_NEWS.class_names)


def text_names(columns: Sequence[str]) -> list[str]:
    """Returns the names of texts that are read: the columns of the model, and those that are always known."""
    return list(dict.fromkeys((*map(str.lower, columns), *KNOWN_FIELDS)))


def _header(fields: list[str], file: str, columns: ReadColumns) -> list[str]:
    names = [name.strip().lower() for name in fields]
    if missing := columns.missing(names):
        raise DataError(
            f"{file}: the first line has no column {' or '.join(missing)} (it is {', '.join(names)!r:.200}); expected "
            f"{columns.expected}. Next: add a header with these names"
        )
    refuse_repeated_columns(names, columns.known(), file)
    return names


def _row(file: str, number: int, fields: dict[str, Any], columns: Sequence[str]) -> ItemRow | BadRow:
    key = fields.get("id")
    if not isinstance(key, str | int | float | None) or _unwritable(key):
        return BadRow(file, number, "id is neither a text nor a number")
    return validate_item(file, number, NewsItem.of_fields(fields, columns), key)


def validate_item(file: str, number: int, item: NewsItem, key: Key = None) -> ItemRow | BadRow:
    """Returns the row of a valid item, otherwise the bad row; the arguments are the attributes of `ItemRow`."""
    rejection = validate(item)
    return BadRow(file, number, rejection.detail) if rejection else ItemRow(file, number, item, key)


def _unwritable(key: Key) -> bool:
    try:
        str(key).encode()
    except UnicodeEncodeError:
        return True
    return False
