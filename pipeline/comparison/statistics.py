"""Whether one accuracy is better than another, and whether a probability means what it says."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest


def accuracy_interval(correct: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of an accuracy (Wilson 1927).

    Args:
        correct: bool [rows], whether each row was classified right.
        confidence: share of such intervals that hold the true accuracy.
    """
    interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(confidence, method="wilson")
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
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    differing = only_first + only_second
    return PairedTest(only_first, only_second, binomtest(only_first, differing).pvalue if differing else 1.0)
