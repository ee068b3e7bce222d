"""News items: the text that is classified, the rule that decides which items are valid, and a model's answer."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

KNOWN_FIELDS = ("title", "description", "text")
"""Names of texts that every reader of items knows; a `text` without a title counts as the title."""
TEXT_COLUMNS = KNOWN_FIELDS[:2]
"""Text columns of a model, unless its data set names other ones."""
_MAX_SHOWN_CHARACTERS = 40


class RejectReason(str, Enum):  # noqa: UP042 - the client also runs on Python 3.10, which has no StrEnum.
    """Why a row of a file or a news item is rejected."""

    __str__ = str.__str__

    WRONG_FIELD_COUNT = "wrong_field_count"
    MALFORMED_QUOTES = "malformed_quotes"
    UNCLOSED_QUOTE = "unclosed_quote"
    UNKNOWN_CLASS = "unknown_class"
    BAD_UTF8 = "bad_utf8"
    EMPTY_TEXT = "empty_text"
    TOO_LONG = "too_long"


@dataclass(frozen=True)
class NewsItem:
    """A title and a description, either of which may be empty.

    Pass a plain text as the title: the network that reads only titles sees it there, and the other networks read the
    title followed by the description.
    """

    title: str = ""
    description: str = ""

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> "NewsItem":
        """Joins the texts of a row: the first of several is the title, the others are the description.

        Args:
            texts: one text for each text column of the data set, in their order.
        """
        if len(texts) == 2:
            return cls(*texts)
        return cls(texts[0] if len(texts) > 1 else "", _join(*texts[1:] or texts))

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any], columns: Sequence[str]) -> "NewsItem":
        """Returns the item of a row whose fields have the names of the text columns, or those of `KNOWN_FIELDS`.

        Args:
            fields: texts by name, in lower case; a missing one is empty.
            columns: text columns of the data set, in their order.
        """
        title, description, text = (fields.get(name) or "" for name in KNOWN_FIELDS)
        known = split_into_columns(columns, [(title or text, description)])
        return cls.of_texts([fields.get(name.lower()) or known[name][0] for name in columns])

    @property
    def text_length(self) -> int:
        """Number of Unicode characters in title and description together."""
        return len(self.title) + len(self.description)

    @cached_property
    def id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of title and description; equal for equal texts."""
        return hashlib.sha256(f"{self.title}\0{self.description}".encode()).hexdigest()[:16]


def split_into_columns(columns: Sequence[str], items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Distributes texts to the inputs of a model, which joins them to the same text again.

    Args:
        columns: names of the inputs, in the order of the text columns.
        items: title and description of each text.
    """
    rows = [(title, description) if columns[1:] else (_join(title, description),) for title, description in items]
    empty = [""] * len(rows)
    return {name: [row[at] for row in rows] if at < 2 else empty for at, name in enumerate(columns)}


def _join(*texts: str) -> str:
    return " ".join(filter(None, texts))


class Rejection(NamedTuple):
    """The reason why an item is invalid, and a detail for people that shows what was found."""

    reason: RejectReason
    detail: str


def validate(item: NewsItem, *, max_chars: int | None = None) -> Rejection | None:
    """Checks whether an item can be classified.

    Args:
        item: the item. Lone surrogates stand for bytes that are not UTF-8 (PEP 383).
        max_chars: limit of `item.text_length`; None means no limit.

    Returns:
        None if the item is valid, otherwise the first problem found: a text that cannot be encoded as UTF-8, two blank
        texts, or too many characters.
    """
    for name, text in (("title", item.title), ("description", item.description)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            detail = f"{name}, character {error.start + 1}: {quote(text[error.start :])} is not valid Unicode text"
            return Rejection(RejectReason.BAD_UTF8, detail)
    if not (item.title.strip() or item.description.strip()):
        return Rejection(RejectReason.EMPTY_TEXT, "title and description are empty")
    if max_chars is not None and item.text_length > max_chars:
        return Rejection(RejectReason.TOO_LONG, f"{item.text_length} characters, the limit is {max_chars}")
    return None


def is_unicode(text: str) -> bool:
    """Returns whether a text has no lone surrogates, which stand for bytes that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def quote(text: str) -> str:
    """Returns the first 40 characters of a text as a Python literal, which holds no control characters."""
    shown = repr(text[:_MAX_SHOWN_CHARACTERS])
    return shown if len(text) <= _MAX_SHOWN_CHARACTERS else f"{shown}…"


@dataclass(frozen=True)
class Classification:
    """A served model's answer for one item.

    Attributes:
        label: name of the most likely class.
        probability: probability of `label`.
        probabilities: probability of each class by name, in the model's order.
        model_version: number of the version that answered.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    model_version: int

    @classmethod
    def of(cls, names: Sequence[str], probabilities: Sequence[float], model_version: int) -> "Classification":
        """Builds a classification from a model's outputs for one item.

        Args:
            names: class names, in the model's order.
            probabilities: probability of each class, in the order of `names`.
            model_version: number of the version that answered.
        """
        by_name = dict(zip(names, probabilities, strict=True))
        label = max(by_name, key=by_name.__getitem__)
        return cls(label, by_name[label], by_name, model_version)
