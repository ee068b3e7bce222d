"""Rows of the training data: as a reader returns them, and after validation."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from schema.data_set import AG_NEWS, SOURCE_ID
from schema.features import TEST, TRAIN, VAL
from schema.news_items import NewsItem, RejectReason, is_unicode, quote, validate

_MAX_DIGITS = 4
_SHOWN_CLASSES = 10


@dataclass(frozen=True)
class RawRow:
    """One row as read from a file, before validation.

    Attributes:
        file: path of the file.
        number: line in a CSV file, or ordinal in a Parquet or TFRecord file; starts at 1.
        label: number of the class from 0, or None if the class in the file is unknown.
        title: title; lone surrogates stand for bytes that are not UTF-8 (PEP 383).
        description: description, with lone surrogates like `title`.
        class_as_read: the class as written in the file.
        lines: number of non-empty lines that the row has in a CSV file; 1 in other formats.
        kept: values of the columns to keep.
        source_id: id of the row in the file, if it has ids.
    """

    file: str
    number: int
    label: int | None
    title: str
    description: str
    class_as_read: str
    lines: int = 1
    kept: tuple[str, ...] = ()
    source_id: str = ""


@dataclass(frozen=True)
class NoRow:
    """A header or blank lines of a CSV file, which readers yield so that every line is accounted for.

    Attributes:
        lines: number of its non-empty lines.
    """

    lines: int


@dataclass(frozen=True)
class LabelledItem(NewsItem):
    """A valid row with its class.

    Attributes:
        label: number of the class, from 0.
        kept: values of the columns to keep.
        source_id: as in `RawRow`.
    """

    label: int = field(kw_only=True)
    kept: tuple[str, ...] = field(default=(), kw_only=True)
    source_id: str = field(default="", kw_only=True)

    def split(self, val_fraction: float, test_fraction: float = 0.0) -> str:
        """Decides from the id to which split a row of the training files belongs: the same in every run and span.

        Args:
            val_fraction: share of the rows that belong to `val`.
            test_fraction: share of the rows that belong to `test`, if there are no test files.
        """
        drawn = int(self.id[:8], 16) / 2**32
        if drawn < val_fraction:
            return VAL
        return TEST if drawn < val_fraction + test_fraction else TRAIN


@dataclass(frozen=True)
class RejectedRow:
    """A row that goes to quarantine.

    Attributes:
        file: path of the file.
        number: as in `RawRow`.
        reason: why the row is rejected.
        detail: what was found, for people.
        lines: as in `RawRow`.
        source_id: as in `RawRow`.
    """

    file: str
    number: int
    reason: RejectReason
    detail: str
    lines: int = 1
    source_id: str = ""

    def to_json(self) -> str:
        """Returns one line of JSON, in which bytes that are not UTF-8 are escaped."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != SOURCE_ID or value})


def parse_label(value: object, *, first: int, class_names: Sequence[str] = AG_NEWS.class_names) -> int | None:
    """Parses a class number or class name.

    Args:
        value: an integer, or text with a number or a class name.
        first: number of the first class: 1 in the official files, 0 in most others.
        class_names: the class names in the order of the labels.

    Returns:
        The label, from 0, or None if the class is unknown.
    """
    text = str(value).strip()
    if text in class_names:
        return class_names.index(text)
    # int() alone would also accept "1_0", "٣" and "007".
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS and str(int(text)) == text):
        return None
    label = int(text) - first
    return label if 0 <= label < len(class_names) else None


def validate_row(
    row: RawRow | RejectedRow, *, max_chars: int, class_names: Sequence[str] = AG_NEWS.class_names
) -> LabelledItem | RejectedRow:
    """Checks the class and the text of a row.

    Args:
        row: a row from a reader; a rejected one is returned as it is.
        max_chars: limit of the Unicode characters in title and description together.
        class_names: the known classes, for the message.

    Returns:
        The item of a valid row, otherwise the rejected row.
    """
    if isinstance(row, RejectedRow):
        return row

    def reject(reason: RejectReason, detail: str) -> RejectedRow:
        return RejectedRow(row.file, row.number, reason, detail, row.lines, row.source_id)

    if row.label is None:
        known = ", ".join(class_names[:_SHOWN_CLASSES]) + (", …" if len(class_names) > _SHOWN_CLASSES else "")
        detail = f"class {quote(row.class_as_read)}, known are {known}"
        return reject(RejectReason.UNKNOWN_CLASS, detail)
    for value in (*row.kept, row.source_id):
        if not is_unicode(value):
            return reject(RejectReason.BAD_UTF8, f"{quote(value)} is not valid Unicode text")
    item = LabelledItem(row.title, row.description, label=row.label, kept=row.kept, source_id=row.source_id)
    rejection = validate(item, max_chars=max_chars)
    return reject(*rejection) if rejection else item
