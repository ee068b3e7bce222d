"""The building blocks of a card's sections: shares with their intervals, and sections that are not available."""

from dataclasses import dataclass
from typing import Literal

from components.statistics import wilson_interval


@dataclass(frozen=True)
class NotAvailable:
    """Replaces a section of the card that is not available; its truth value is false.

    Attributes:
        not_available: why the section is not available.
    """

    not_available: str

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True)
class Share:
    """A share of rows, from 0 to 1, with its 95 % interval.

    Attributes:
        value: the share itself.
        low: lower bound.
        high: upper bound.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, rows: int) -> "Share":
        """Returns the share of `count` in `rows` with Wilson's interval; without rows, the interval is 0 to 1."""
        return cls(count / rows, *wilson_interval(count, rows)) if rows else cls(0.0, 0.0, 1.0)
