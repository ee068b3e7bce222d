"""A row as a reader gives it, and what makes it a bad one."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property

from schema.features import CLASS_NAMES


class Reason(StrEnum):
    """Why a row was quarantined."""

    WRONG_FIELD_COUNT = "wrong_field_count"
    MALFORMED_QUOTES = "malformed_quotes"
    UNCLOSED_QUOTE = "unclosed_quote"
    UNKNOWN_CLASS = "unknown_class"
    BAD_UTF8 = "bad_utf8"
    EMPTY_TEXT = "empty_text"
    TOO_LONG = "too_long"


@dataclass(frozen=True)
class RawRow:
    """One news item as read, not checked yet.

    Attributes:
        file: path of the file it stands in.
        number: line of a CSV file, or ordinal in a Parquet or TFRecord file; from 1.
        label: 0 to 3, or None when the file's class is none of ours.
        title: may hold lone surrogates, which stand for bytes that are not UTF-8 (PEP 383).
        description: like `title`.
        class_as_read: the class as it stands in the file.
        lines: how many lines of a CSV file it has, empty ones not counted; 1 in other formats.
    """

    file: str
    number: int
    label: int | None
    title: str
    description: str
    class_as_read: str
    lines: int = 1


@dataclass(frozen=True)
class NoRow:
    """Lines of a CSV file that hold no row, its header or blanks, so that they are counted; `lines` are not empty."""

    lines: int


@dataclass(frozen=True)
class Row:
    """One good news item: `label` is 0 to 3, the texts can be written as UTF-8 and are not both empty."""

    label: int
    title: str
    description: str

    @cached_property
    def id(self) -> str:
        """SHA-256 of title and description, first 16 hexadecimal digits: the same text has the same id everywhere."""
        return hashlib.sha256(f"{self.title}\0{self.description}".encode()).hexdigest()[:16]

    @property
    def text_length(self) -> int:
        """Unicode characters of title and description together."""
        return len(self.title) + len(self.description)

    def is_validation(self, fraction: float) -> bool:
        """Whether a training row belongs to the `val` split: the same answer in every run and span."""
        return int(self.id[:8], 16) < fraction * 2**32


@dataclass(frozen=True)
class RejectedRow:
    """A row that goes to quarantine; `detail` shows what was found, the others are as in `RawRow`."""

    file: str
    number: int
    reason: Reason
    detail: str
    lines: int = 1

    def to_json(self) -> str:
        """One line of JSON; what is not UTF-8 is escaped."""
        return json.dumps(asdict(self))


def parse_label(value: object, *, first: int) -> int | None:
    """The label of a class number or class name.

    Args:
        value: an int, or text that holds a number or a class name.
        first: the number of the first class: 1 in the official files, 0 in most others.

    Returns:
        0 to 3, or None for anything else.
    """
    text = str(value).strip()
    if text in CLASS_NAMES:
        return CLASS_NAMES.index(text)
    # A class number has one digit; int() alone would take "1_0" and "٣" as well.
    if len(text) != 1 or text not in "0123456789":
        return None
    label = int(text) - first
    return label if 0 <= label < len(CLASS_NAMES) else None


def checked(row: RawRow | RejectedRow, *, max_chars: int) -> Row | RejectedRow:
    """The good row that `row` holds, or why there is none.

    Args:
        row: as a reader gives it.
        max_chars: Unicode characters of title and description over which a row is too long.
    """
    if isinstance(row, RejectedRow):
        return row

    def rejected(reason: Reason, detail: str) -> RejectedRow:
        return RejectedRow(row.file, row.number, reason, detail, row.lines)

    if row.label is None:
        return rejected(Reason.UNKNOWN_CLASS, f"class {_shown(row.class_as_read)}")
    for name, text in (("title", row.title), ("description", row.description)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return rejected(Reason.BAD_UTF8, f"{name}, character {error.start + 1}: {_shown(text[error.start :])}")
    good = Row(row.label, row.title, row.description)
    if not (good.title.strip() or good.description.strip()):
        return rejected(Reason.EMPTY_TEXT, "title and description are empty")
    if good.text_length > max_chars:
        return rejected(Reason.TOO_LONG, f"{good.text_length} characters, the limit is {max_chars}")
    return good


def _shown(text: str) -> str:
    shown = repr(text[:40])
    return shown if len(text) <= 40 else f"{shown}…"
