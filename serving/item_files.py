"""Reads news items from CSV and JSON Lines, row by row; a bad row is told with its place and hides no other.

CSV (RFC 4180) has a header that names its columns: `title` and `description`, or `text`, which counts as a title, and
if it likes `id`; other columns are passed over. JSON Lines has an object a line with the same names. The first line
tells the two apart.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from schema.errors import DataError
from serving.items import NewsItem

# No news item is as long, and a file without line ends must not fill the memory.
_MAX_LINE_BYTES = 1 << 20
Key = str | int | float | None
_COLUMNS = ("id", "title", "description", "text")


@dataclass(frozen=True)
class Row:
    """A good row: `number` is its line, from 1; `id` whatever the file calls it."""

    file: str
    number: int
    item: NewsItem
    id: Key = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be classified, and why."""

    file: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.reason}"


def read_items(opened: IO[bytes], file: str) -> Iterator[Row | BadRow]:
    """Rows of a file, in bounded memory.

    Args:
        opened: the file.
        file: its name, for messages; one that ends in `.gz` is decompressed.

    Raises:
        DataError: a CSV file has no header with the columns that are needed, or the file cannot be read to its end.
    """
    lines = _Lines(gzip.GzipFile(fileobj=opened).readline if file.endswith(".gz") else opened.readline)
    try:
        first = lines.take()
        if first is None:
            return
        lines.give_back([first])
        yield from (_json_rows if first.lstrip().startswith("{") else _csv_rows)(lines, file)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{file}, after line {lines.number}: {error}; put a whole, readable file in its place"
        ) from error


def _json_rows(lines: "_Lines", file: str) -> Iterator[Row | BadRow]:
    while (line := lines.take()) is not None:
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BadRow(file, lines.number, f"no JSON: {error}")
            continue
        if isinstance(fields, dict):
            yield _row(file, lines.number, fields)
        else:
            yield BadRow(file, lines.number, "expected a JSON object with title and description")


def _csv_rows(lines: "_Lines", file: str) -> Iterator[Row | BadRow]:
    header: list[str] | None = None
    for number, fields in _records(lines):
        if header is None:
            header = _header(fields, file)
        elif isinstance(fields, csv.Error):
            left_open = "unexpected end" in str(fields)
            yield BadRow(file, number, "a quoted field does not end" if left_open else f"no CSV: {fields}")
        elif len(fields) != len(header):
            yield BadRow(file, number, f"{len(fields)} fields, the header has {len(header)}")
        else:
            yield _row(file, number, dict(zip(header, fields, strict=True)))


def _records(lines: "_Lines") -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Fields of each record with the number of its first line; blank lines are none.

    A quote left open would swallow what follows, up to the csv module's limit of 128 KiB: then the first line alone is
    bad, and the others are read again.
    """
    while True:
        taken: list[str] = []

        def next_lines(taken: list[str] = taken) -> Iterator[str]:
            while (line := lines.take()) is not None:
                taken.append(line)
                yield line

        try:
            fields = next(csv.reader(next_lines(), strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back(taken[1:])
            yield lines.number, error
        else:
            if fields:
                yield lines.number - len(taken) + 1, fields


def _header(fields: list[str] | csv.Error, file: str) -> list[str]:
    names = [name.strip().lower() for name in fields] if isinstance(fields, list) else []
    if not {"title", "description", "text"} & set(names):
        raise DataError(
            f"{file}: the first line names no column title, description or text (it reads {', '.join(names)!r:.200}); "
            "put a header with these names before the rows"
        )
    if repeated := {name for name in names if name in _COLUMNS and names.count(name) > 1}:
        raise DataError(f"{file}: the header has the column {', '.join(sorted(repeated))} twice; keep one of them")
    return names


def _row(file: str, number: int, fields: dict[str, Any]) -> Row | BadRow:
    texts = {name: fields.get(name) or "" for name in ("title", "description", "text")}
    for name, text in texts.items():
        if not isinstance(text, str):
            return BadRow(file, number, f"{name} is no text but {type(text).__name__}")
    key = fields.get("id")
    if not isinstance(key, str | int | float | None) or _unwritable(key):
        return BadRow(file, number, "id is neither a text nor a number")
    return checked_row(file, number, NewsItem(texts["title"] or texts["text"], texts["description"]), key)


def checked_row(file: str, number: int, item: NewsItem, key: Key = None) -> Row | BadRow:
    """A good row, or a bad one where the item has a flaw."""
    flaw = item.flaw()
    return BadRow(file, number, flaw) if flaw else Row(file, number, item, key)


def _unwritable(key: Key) -> bool:
    try:
        str(key).encode()
    except UnicodeEncodeError:
        return True
    return False


class _Lines:
    """Lines of a binary file, decoded so that bad bytes survive as lone surrogates, which can be given back."""

    def __init__(self, readline: Callable[[int], bytes]):
        self._readline = readline
        self._given_back: list[str] = []
        self.number = 0

    def take(self) -> str | None:
        """The next line with its end, or None at the end of the file; a too long one is cut."""
        line = self._given_back.pop() if self._given_back else self._read()
        if line is not None:
            self.number += 1
        return line

    def give_back(self, lines: list[str]) -> None:
        """Lines to be taken again, the first one first."""
        self._given_back += reversed(lines)
        self.number -= len(lines)

    def _read(self) -> str | None:
        data = self._readline(_MAX_LINE_BYTES)
        if not data:
            return None
        rest = data
        while len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = self._readline(_MAX_LINE_BYTES)
        return data.decode("utf-8-sig" if self.number == 0 else "utf-8", "surrogateescape")
