"""Rows of the training data: as a reader returns them, and after validation."""

import json
from dataclasses import asdict, dataclass, field

from schema.features import CLASS_NAMES
from schema.news_items import NewsItem, RejectReason, quote, validate


@dataclass(frozen=True)
class RawRow:
    """One row as read from a file, before validation.

    Attributes:
        file: path of the file.
        number: line in a CSV file, or ordinal in a Parquet or TFRecord file; starts at 1.
        label: 0 to 3, or None if the class in the file is unknown.
        title: title; lone surrogates stand for bytes that are not UTF-8 (PEP 383).
        description: description, with lone surrogates like `title`.
        class_as_read: the class as written in the file.
        lines: number of non-empty lines that the row has in a CSV file; 1 in other formats.
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
    """A header or blank lines of a CSV file, which readers yield so that every line is accounted for.

    Attributes:
        lines: number of its non-empty lines.
    """

    lines: int


@dataclass(frozen=True)
class LabelledItem(NewsItem):
    """A valid news item with its class.

    Attributes:
        label: 0 to 3.
    """

    label: int = field(kw_only=True)

    def is_validation(self, fraction: float) -> bool:
        """Decides from the id whether a training row belongs to the split `val`: the same in every run and span.

        Args:
            fraction: share of the training rows that belong to `val`.
        """
        return int(self.id[:8], 16) < fraction * 2**32


@dataclass(frozen=True)
class RejectedRow:
    """A row that goes to quarantine.

    Attributes:
        file: path of the file.
        number: as in `RawRow`.
        reason: why the row is rejected.
        detail: what was found, for people.
        lines: as in `RawRow`.
    """

    file: str
    number: int
    reason: RejectReason
    detail: str
    lines: int = 1

    def to_json(self) -> str:
        """Returns one line of JSON, in which bytes that are not UTF-8 are escaped."""
        return json.dumps(asdict(self))


def parse_label(value: object, *, first: int) -> int | None:
    """Parses a class number or class name.

    Args:
        value: an integer, or text with a number or a class name.
        first: number of the first class: 1 in the official files, 0 in most others.

    Returns:
        The label, 0 to 3, or None if the class is unknown.
    """
    text = str(value).strip()
    if text in CLASS_NAMES:
        return CLASS_NAMES.index(text)
    # A class number has one digit; int() alone would also accept "1_0" and "٣".
    if len(text) != 1 or text not in "0123456789":
        return None
    label = int(text) - first
    return label if 0 <= label < len(CLASS_NAMES) else None


def validate_row(row: RawRow | RejectedRow, *, max_chars: int) -> LabelledItem | RejectedRow:
    """Checks the class and the text of a row.

    Args:
        row: a row from a reader; a rejected one is returned as it is.
        max_chars: limit of the Unicode characters in title and description together.

    Returns:
        The item of a valid row, otherwise the rejected row.
    """
    if isinstance(row, RejectedRow):
        return row
    if row.label is None:
        detail = f"class {quote(row.class_as_read)}"
        return RejectedRow(row.file, row.number, RejectReason.UNKNOWN_CLASS, detail, row.lines)
    item = LabelledItem(row.title, row.description, label=row.label)
    if rejection := validate(item, max_chars=max_chars):
        return RejectedRow(row.file, row.number, *rejection, row.lines)
    return item
