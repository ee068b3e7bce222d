"""Reads AG News CSV files row by row and survives every byte that may stand in one.

The official files have no header and three quoted fields: class 1 to 4, title, description; a quote within a field
is doubled (RFC 4180). Files with a header may have their columns in any order.
"""

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from components.example_gen.rows import RawRow, Reason, RejectedRow, parse_label
from schema.errors import DataError

# Column names of the class, each with the number of its first class.
_CLASS_COLUMNS = {"class index": 1, "class_index": 1, "class": 1, "label": 0}
_TEXT_COLUMNS = ("title", "description", "text")
# A longer line is no news item, and a file without line ends must not fill the memory.
_MAX_LINE_BYTES = 1 << 20
# A quoted field may hold line ends, but an unclosed quote must not swallow the rest of the file.
_MAX_LINES_OF_A_ROW = 50


@dataclass(frozen=True)
class _Layout:
    """Which column holds what: indices from 0. `title` is None in files that have one text column."""

    width: int
    class_: int
    title: int | None
    description: int
    first_class: int


_OFFICIAL = _Layout(width=3, class_=0, title=1, description=2, first_class=1)


def read_csv(file: str) -> Iterator[RawRow | RejectedRow]:
    """Rows of a CSV file, gzipped when its name ends in `.gz`. Blank lines between rows are no rows.

    Args:
        file: local path.

    Raises:
        DataError: the file cannot be read, or its header lacks a column.
    """
    try:
        with open(file, "rb") as plain:
            readline = gzip.GzipFile(fileobj=plain).readline if file.endswith(".gz") else plain.readline
            yield from _rows(_Lines(readline), file)
    except (OSError, EOFError) as error:
        raise DataError(f"{file}: {error}; put a whole, readable file in its place") from error


def _rows(lines: "_Lines", file: str) -> Iterator[RawRow | RejectedRow]:
    layout = _OFFICIAL
    began = False
    while (line := lines.take()) is not None:
        number = lines.number
        if not line.strip():
            continue
        try:
            fields = _parse(line, lines, layout)
        except _BadRow as bad:
            yield RejectedRow(file, number, bad.reason, bad.detail)
        else:
            if not began and (header := _header(fields, file)):
                layout = header
            elif len(fields) != layout.width:
                detail = f"{len(fields)} fields, expected {layout.width}"
                yield RejectedRow(file, number, Reason.WRONG_FIELD_COUNT, detail)
            else:
                title = "" if layout.title is None else fields[layout.title]
                class_as_read = fields[layout.class_]
                label = parse_label(class_as_read, first=layout.first_class)
                yield RawRow(file, number, label, title, fields[layout.description], class_as_read)
        began = True


class _BadRow(Exception):
    def __init__(self, reason: Reason, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def _parse(line: str, lines: "_Lines", layout: _Layout) -> list[str]:
    """Fields of the row that begins with `line`; takes further lines while a quoted field is open."""
    taken = 1
    while True:
        if len(line) >= _MAX_LINE_BYTES:
            raise _BadRow(Reason.TOO_LONG, f"a line of {_MAX_LINE_BYTES} bytes or more")
        try:
            return _split(line)
        except csv.Error as error:
            message = str(error)
        if "field larger" in message:
            raise _BadRow(Reason.TOO_LONG, message)
        if "unexpected end of data" not in message:
            raise _BadRow(Reason.MALFORMED_QUOTES, message)
        following = lines.peek()
        if following is None or taken == _MAX_LINES_OF_A_ROW or _is_whole_row(following, layout):
            raise _BadRow(Reason.UNCLOSED_QUOTE, f"{line[:40]!r}…")
        line += lines.take() or ""
        taken += 1


def _split(line: str) -> list[str]:
    return next(csv.reader(io.StringIO(line, newline=""), strict=True), [])


def _is_whole_row(line: str, layout: _Layout) -> bool:
    """Whether a line is a good row by itself: then a quote that is open before it was left open by mistake."""
    try:
        fields = _split(line)
    except csv.Error:
        return False
    return len(fields) == layout.width and parse_label(fields[layout.class_], first=layout.first_class) is not None


def _header(fields: list[str], file: str) -> _Layout | None:
    """The layout that `fields` describe, when they are names of columns."""
    names = [field.strip().lower() for field in fields]
    known = sum(name in _CLASS_COLUMNS or name in _TEXT_COLUMNS for name in names)
    if known < 2 or any(name.isdecimal() for name in names):
        return None
    class_column = next((name for name in names if name in _CLASS_COLUMNS), None)
    split_text = {"title", "description"} <= set(names)
    if class_column is None or not (split_text or "text" in names):
        raise DataError(
            f"{file}, line 1: the header has the columns {', '.join(names)}; needed are one of "
            f"{', '.join(_CLASS_COLUMNS)} and either title and description, or text"
        )
    return _Layout(
        width=len(names),
        class_=names.index(class_column),
        title=names.index("title") if split_text else None,
        description=names.index("description" if split_text else "text"),
        first_class=_CLASS_COLUMNS[class_column],
    )


class _Lines:
    """Lines of a binary file, decoded so that bad bytes survive as lone surrogates, with one line of look-ahead."""

    def __init__(self, readline: Callable[[int], bytes]):
        self._readline = readline
        self._next: str | None = None
        self.number = 0

    def take(self) -> str | None:
        """The next line with its end, or None at the end of the file; a too long one is cut."""
        line, self._next = (self.peek(), None)
        if line is not None:
            self.number += 1
        return line

    def peek(self) -> str | None:
        if self._next is None:
            self._next = self._read()
        return self._next

    def _read(self) -> str | None:
        data = self._readline(_MAX_LINE_BYTES)
        if not data:
            return None
        rest = data
        while len(rest) == _MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = self._readline(_MAX_LINE_BYTES)
        encoding = "utf-8-sig" if self.number == 0 else "utf-8"
        return data.decode(encoding, "surrogateescape")
