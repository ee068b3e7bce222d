"""Splits lines into CSV records (RFC 4180) with Python's parser, so that each line belongs to exactly one record.

A quoted field may span any number of lines. If it does not end properly, its opening quote is treated as a mistake:
only its line is rejected, and the lines after it are read again.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from schema.errors import DataError
from schema.news_items import RejectReason
from schema.text_files import MAX_LINE_BYTES

SEPARATORS = ",;\t|"
_SHOWN = 40


class CsvRecord(NamedTuple):
    """One record.

    Attributes:
        number: its first line, from 1.
        lines: its number of non-empty lines.
        fields: its fields; lone surrogates stand for bytes that are not UTF-8 (PEP 383).
    """

    number: int
    lines: int
    fields: list[str]


class BadRecord(NamedTuple):
    """A line that is not a record: its number from 1, the reason, and a detail for people."""

    number: int
    reason: RejectReason
    detail: str


class _TooLong(Exception):
    """A record has `MAX_LINE_BYTES` or more; stops the parser."""


def read_records(lines: Iterable[bytes], separator: str = ",") -> Iterator[CsvRecord | BadRecord]:
    """Reads the records of a CSV file in linear time and bounded memory.

    A record has less than `MAX_LINE_BYTES`, and a field at most `csv.field_size_limit()` characters (131,072). Empty
    lines between records are skipped.

    Args:
        lines: lines of the file with their line ends.
        separator: character between fields.
    """
    ahead = iter(lines)
    again: list[bytes] = []
    number = 1
    taken: list[bytes] = []
    while True:
        parser = csv.reader(_decode(itertools.chain(again, ahead), taken), strict=True, delimiter=separator)
        try:
            for fields in parser:
                if len(taken) > 1:
                    yield CsvRecord(number, sum(bool(line.strip(b"\r\n")) for line in taken), fields)
                elif fields:
                    yield CsvRecord(number, 1, fields)
                number += len(taken)
                taken.clear()
            return
        except (csv.Error, _TooLong) as error:
            first, *others = taken
            taken.clear()
            yield BadRecord(number, *(_describe_unclosed(first) if others else _reject_reason(error, first)))
            # The line of the error may begin a record. The lines before it can be read alone: the parser was within the
            # quoted field at the end of each, so a quote that one of them leaves open fails at the same place. This way
            # no line is parsed more than three times.
            again = [] if "unexpected end of data" in str(error) else others[-1:]
            alone = others[:-1] if again else others
            for offset, line in enumerate(alone, start=1):
                yield from _read_alone(line, number + offset, separator)
            number += 1 + len(alone)


def _decode(lines: Iterable[bytes], taken: list[bytes]) -> Iterator[str]:
    """Yields the lines as text, and appends each to `taken`, the lines of the current record.

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


def _read_alone(line: bytes, number: int, separator: str) -> Iterator[CsvRecord | BadRecord]:
    """Reads a line as if no line followed it."""
    for found in read_records([line], separator):
        yield found._replace(number=number)


def _reject_reason(error: Exception, line: bytes) -> tuple[RejectReason, str]:
    message = str(error)
    if "unexpected end of data" in message:
        return _describe_unclosed(line)
    if isinstance(error, _TooLong) or "field larger than field limit" in message:
        return RejectReason.TOO_LONG, message
    return RejectReason.MALFORMED_QUOTES, message


def _describe_unclosed(line: bytes) -> tuple[RejectReason, str]:
    shown = line[:_SHOWN].decode("utf-8", "surrogateescape")
    return RejectReason.UNCLOSED_QUOTE, f"a quoted field that does not end: {shown!r}…"


def refuse_repeated_columns(names: Sequence[str], known: Iterable[str], file: str) -> None:
    """Refuses a file that repeats a column.

    Args:
        names: columns of the file.
        known: columns that are read.
        file: name of the file, for the message.

    Raises:
        DataError: the file has a column that is read more than once.
    """
    if repeated := sorted(name for name in known if names.count(name) > 1):
        raise DataError(f"{file} has more than one column {', '.join(repeated)}; keep only one")


def find_separator(first_line: bytes, is_expected: Callable[[list[str]], bool]) -> str:
    """Returns the separator with which the first line has the expected fields; a comma if none does.

    Args:
        first_line: the first line that is not blank.
        is_expected: function that returns whether fields are a header or a row of the expected format.
    """
    text = first_line.decode("utf-8", "surrogateescape")
    return next((one for one in SEPARATORS if _has_fields(text, one, is_expected)), ",")


def _has_fields(line: str, separator: str, is_expected: Callable[[list[str]], bool]) -> bool:
    try:
        return is_expected(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return False
