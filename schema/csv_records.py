"""Splits lines into CSV records (RFC 4180) with Python's own parser, so that each line belongs to exactly one record.

A quoted field ends where its closing quote is, after any number of lines. Only where it does not end properly is the
quote taken for a forgotten one: its line alone is bad, and the lines after it are read again.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from schema.errors import DataError
from schema.news_items import RejectReason
from schema.text_files import MAX_LINE_BYTES

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SHOWN = 40


class Record(NamedTuple):
    """One record.

    Attributes:
        number: the line it begins in, from 1.
        lines: how many lines it has, empty ones not counted.
        fields: may hold lone surrogates, which stand for bytes that are not UTF-8 (PEP 383).
    """

    number: int
    lines: int
    fields: list[str]


class BadRecord(NamedTuple):
    """A line that is no record, and why."""

    number: int
    reason: RejectReason
    detail: str


class _TooLong(Exception):
    """Stops the parser at a record of `MAX_LINE_BYTES` or more."""


def read_records(lines: Iterable[bytes]) -> Iterator[Record | BadRecord]:
    """Reads the records of a CSV file, in time that grows with the file's size and in bounded memory.

    A record has less than `MAX_LINE_BYTES`, a field at most `csv.field_size_limit()` characters (131,072). Empty lines
    between records are left out.

    Args:
        lines: the lines of the file with their ends.
    """
    ahead = iter(lines)
    again: list[bytes] = []
    number = 1
    taken: list[bytes] = []
    while True:
        parser = csv.reader(_decode(itertools.chain(again, ahead), taken), strict=True)
        try:
            for fields in parser:
                if len(taken) > 1:
                    yield Record(number, sum(bool(line.strip(b"\r\n")) for line in taken), fields)
                elif fields:
                    yield Record(number, 1, fields)
                number += len(taken)
                taken.clear()
            return
        except (csv.Error, _TooLong) as error:
            first, *others = taken
            taken.clear()
            yield BadRecord(number, *(_unclosed(first) if others else _reject_reason(error, first)))
            # The line of the error may begin a record. Those before it need no look at what follows them: the parser
            # was in the quoted field at each line's end, so a quote that one of them leaves open fails at the same
            # place. That way no line is parsed more than three times.
            again = [] if "unexpected end of data" in str(error) else others[-1:]
            alone = others[:-1] if again else others
            for offset, line in enumerate(alone, start=1):
                yield from _read_alone(line, number + offset)
            number += 1 + len(alone)


def _decode(lines: Iterable[bytes], taken: list[bytes]) -> Iterator[str]:
    """Text of the lines, each of which is added to those `taken` for the record at hand.

    Raises:
        _TooLong: the record is too long.
    """
    size = 0
    for line in lines:
        size = size + len(line) if taken else len(line)
        taken.append(line)
        if size >= MAX_LINE_BYTES:
            raise _TooLong(f"{MAX_LINE_BYTES:,} bytes or more")
        yield line.decode("utf-8", "surrogateescape")


def _read_alone(line: bytes, number: int) -> Iterator[Record | BadRecord]:
    """What a line holds when none follows it."""
    for found in read_records([line]):
        yield found._replace(number=number)


def _reject_reason(error: Exception, line: bytes) -> tuple[RejectReason, str]:
    message = str(error)
    if "unexpected end of data" in message:
        return _unclosed(line)
    if isinstance(error, _TooLong) or "field larger than field limit" in message:
        return RejectReason.TOO_LONG, message
    return RejectReason.MALFORMED_QUOTES, message


def _unclosed(line: bytes) -> tuple[RejectReason, str]:
    shown = line[:_SHOWN].decode("utf-8", "surrogateescape")
    return RejectReason.UNCLOSED_QUOTE, f"a quoted field that does not end: {shown!r}…"


def refuse_repeated_columns(names: Sequence[str], known: Iterable[str], file: str) -> None:
    """
    Args:
        names: columns of a file.
        known: those that are read from it.
        file: its name, for the message.

    Raises:
        DataError: a column that is read is there more than once.
    """
    if repeated := sorted(name for name in known if names.count(name) > 1):
        raise DataError(f"{file} has more than one column {', '.join(repeated)}; keep one of each")


def refuse_other_separator(first_line: bytes, is_expected: Callable[[list[str]], bool], file: str) -> None:
    """Refuses a file whose fields are not separated by commas.

    Args:
        first_line: the first line that is not blank.
        is_expected: whether fields are a header or a row as the file should have it.
        file: its name, for the message.

    Raises:
        DataError: the first line is as expected when another separator is taken, and not with commas.
    """
    text = first_line.decode("utf-8", "surrogateescape")
    for separator, name in _SEPARATORS.items():
        if not _has_fields(text, ",", is_expected) and _has_fields(text, separator, is_expected):
            raise DataError(f"{file} is separated by {name}; expected commas. Next: save it with commas")


def _has_fields(line: str, separator: str, is_expected: Callable[[list[str]], bool]) -> bool:
    try:
        return is_expected(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return False
