"""News items: the text that is classified, the rule that decides which items are valid, and a model's answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

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

    @property
    def text_length(self) -> int:
        """Number of Unicode characters in title and description together."""
        return len(self.title) + len(self.description)

    @cached_property
    def id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of title and description; equal for equal texts."""
        return hashlib.sha256(f"{self.title}\0{self.description}".encode()).hexdigest()[:16]


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
