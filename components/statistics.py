"""How sure a share is, and whether one classifier is better than another on the same rows."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927).

    Args:
        successes: for instance rows that were classified right.
        trials: rows in all; at least one.
        confidence: share of such intervals that hold the true share.
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return interval.low, interval.high


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of two classifiers on the same rows.

    Attributes:
        only_first: rows that the first alone classified right.
        only_second: rows that the second alone classified right.
        p_value: two-sided probability of so uneven a split, were both equally good.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Compares two classifiers by the rows on which one of them alone is right (McNemar 1947, exact form).

    Args:
        first: bool [rows], rows that the first classified right.
        second: bool [rows], the same rows of the second.
    """
    only_first, only_second = _differing(first, second)
    differing = only_first + only_second
    return PairedTest(only_first, only_second, binomtest(only_first, differing).pvalue if differing else 1.0)


def change_interval(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the accuracy's change from one classifier to another on the same rows.

    Half a row is added to each cell of the two-by-two table before Wald's formula is used, which keeps its promise on
    few rows as well (Agresti and Min 2005, Statistics in Medicine 24, 729-740).

    Args:
        first: bool [rows], rows that the first classified right.
        second: bool [rows], the same rows of the second.
        confidence: share of such intervals that hold the true change.
    """
    only_first, only_second = (count + 0.5 for count in _differing(first, second))
    rows = len(first) + 2
    change = (only_second - only_first) / rows
    spread = math.sqrt(only_first + only_second - rows * change**2) / rows
    reach = float(norm.ppf((1 + confidence) / 2)) * spread
    return change - reach, change + reach


def _differing(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    return int((first & ~second).sum()), int((~first & second).sum())
