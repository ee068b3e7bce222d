"""Reads texts from CSV and JSON Lines files; a bad row is reported with its line and does not affect others.

CSV (RFC 4180) has a header with the text columns of the model, or `title` and `description`, or `text`, which is read
as the title, and optionally `id`; other columns are ignored. The files of AG News have no header, and the fields class,
title and description; the class is ignored. JSON Lines has one object per line with the same names. The first line
determines the format, and the separator of CSV: a comma, a semicolon, a tab or a vertical bar.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from schema.csv_records import BadRecord, find_separator, read_records, refuse_repeated_columns
from schema.data_set import AG_NEWS
from schema.errors import DataError
from schema.news_items import KNOWN_FIELDS, TEXT_COLUMNS, NewsItem, validate
from schema.text_files import MAX_LINE_BYTES, TextFile

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
    text = TextFile(opened, file, _EXPECTED)
    yield from (_json_rows if text.first_line.startswith(b"{") else _csv_rows)(text, file, columns)


def _json_rows(text: TextFile, file: str, columns: Sequence[str]) -> Iterator[ItemRow | BadRow]:
    for number, line in enumerate(text, start=1):
        if line.isspace():
            continue
        if len(line) >= MAX_LINE_BYTES:
            yield BadRow(file, number, f"the line has {MAX_LINE_BYTES:,} bytes or more")
            continue
        try:
            fields = json.loads(line.decode("utf-8", "surrogateescape"), object_pairs_hook=_JsonObject)
        except (ValueError, RecursionError) as error:
            yield BadRow(file, number, f"invalid JSON: {error}")
            continue
        if not isinstance(fields, _JsonObject):
            yield BadRow(file, number, "expected a JSON object with title and description")
        elif repeated := sorted(fields.repeated & {"id", *_text_names(columns)}):
            yield BadRow(file, number, f"{', '.join(repeated)} more than once in one object")
        else:
            yield _row(file, number, fields, columns)


class _JsonObject(dict):
    """A JSON object with names in lower case; `repeated` has those that occur in it more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        names = [name.strip().lower() for name, _ in pairs]
        super().__init__(zip(names, (value for _, value in pairs), strict=True))
        self.repeated = {name for name in self if names.count(name) > 1}


def _csv_rows(text: TextFile, file: str, columns: Sequence[str]) -> Iterator[ItemRow | BadRow]:
    separator = find_separator(text.first_line, lambda fields: _has_texts(fields, columns) or _is_ag_news(fields))
    header: list[str] | None = None
    for record in read_records(text, separator):
        if header is None:
            fields = [] if isinstance(record, BadRecord) else record.fields
            if not _is_ag_news(fields):
                header = _header(fields, file, columns)
                continue
            header = _AG_NEWS_COLUMNS
        if isinstance(record, BadRecord):
            yield BadRow(file, record.number, f"{record.reason.replace('_', ' ')}: {record.detail}")
        elif len(record.fields) != len(header):
            yield BadRow(file, record.number, f"{len(record.fields)} fields, expected {len(header)}")
        else:
            yield _row(file, record.number, dict(zip(header, record.fields, strict=True)), columns)


def _is_ag_news(fields: list[str]) -> bool:
    """Returns whether the fields are a row of an AG News file, which has no header."""
    return len(fields) == len(_AG_NEWS_COLUMNS) and (fields[0].isdecimal() or fields[0] in AG_NEWS.class_names)


def _text_names(columns: Sequence[str]) -> list[str]:
    """Returns the names of texts that are read: the columns of the model, and those that are always known."""
    return list(dict.fromkeys((*map(str.lower, columns), *KNOWN_FIELDS)))


def _has_texts(header: list[str], columns: Sequence[str]) -> bool:
    return not {*_text_names(columns)}.isdisjoint(name.strip().lower() for name in header)


def _header(fields: list[str], file: str, columns: Sequence[str]) -> list[str]:
    names = [name.strip().lower() for name in fields]
    *others, last = texts = _text_names(columns)
    if not _has_texts(names, columns):
        raise DataError(
            f"{file}: the first line has no column {', '.join(others)} or {last} (it is {', '.join(names)!r:.200}); "
            f"expected {_EXPECTED}. Next: add a header with these names"
        )
    refuse_repeated_columns(names, ("id", *texts), file)
    return names


def _row(file: str, number: int, fields: dict[str, Any], columns: Sequence[str]) -> ItemRow | BadRow:
    for name in _text_names(columns):
        if not isinstance(text := fields.get(name) or "", str):
            return BadRow(file, number, f"{name} is not a text but {type(text).__name__}")
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
