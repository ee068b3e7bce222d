"""What the sections of a card are made of: shares with their intervals, and parts that could not be had."""

from dataclasses import dataclass
from typing import Literal

from components.statistics import wilson_interval


@dataclass(frozen=True)
class Missing:
    """Stands where a part of the card would, and is false where one asks for that part.

    Attributes:
        not_available: why the part could not be had.
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
        """`count` of `rows`, with Wilson's interval; of no rows everything is possible."""
        return cls(count / rows, *wilson_interval(count, rows)) if rows else cls(0.0, 0.0, 1.0)
