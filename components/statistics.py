"""Computes confidence intervals of shares, and tests for comparing classifiers and distributions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binomtest, chi2_contingency, fisher_exact, ks_2samp, norm

# SciPy takes 0.15 ms for an interval and 1.5 ms for an exact one, and a page of the review site has up to 200 of them,
# which are the same for each visitor.
_REMEMBERED = 50_000


@lru_cache(_REMEMBERED)
def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's score interval of a share (Wilson 1927).

    Args:
        successes: number of successes, for instance of correctly classified rows.
        trials: number of trials; at least one.
        confidence: share of such intervals that contain the true share.
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return interval.low, interval.high


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of two classifiers on the same rows.

    Attributes:
        only_first: number of rows that only the first classified correctly.
        only_second: number of rows that only the second classified correctly.
        p_value: two-sided probability of a split at least this uneven if both are equally good.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Compares two classifiers by the rows that only one of them classified correctly (McNemar 1947, exact form).

    Args:
        first: bool [rows], whether the first classified each row correctly.
        second: bool [rows], the same for the second.
    """
    only_first, only_second = _differing(first, second)
    return PairedTest(only_first, only_second, _p_value(only_first, only_first + only_second))


@lru_cache(_REMEMBERED)
def _p_value(only_first: int, differing: int) -> float:
    return float(binomtest(only_first, differing).pvalue) if differing else 1.0


def change_interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % confidence interval of the difference in accuracy between two classifiers on the same rows.

    Half a row is added to each cell of the two-by-two table before Wald's formula is applied, which keeps the nominal
    confidence on few rows too (Agresti and Min 2005, Statistics in Medicine 24, 729-740).

    Args:
        first: bool [rows], whether the first classified each row correctly.
        second: bool [rows], the same for the second.
    """
    only_first, only_second = (count + 0.5 for count in _differing(first, second))
    rows = len(first) + 2
    change = (only_second - only_first) / rows
    spread = math.sqrt(only_first + only_second - rows * change**2) / rows
    reach = float(norm.ppf(0.975)) * spread
    return change - reach, change + reach


@lru_cache(_REMEMBERED)
def exact_change_interval(test: PairedTest, rows: int, confidence: float) -> tuple[float, float]:
    """Returns the interval of a change in accuracy that excludes 0 if and only if McNemar's test is significant.

    This is the exact interval of Clopper and Pearson for the rows that only one classifier classified correctly, given
    their number. Without such rows it is (0, 0).

    Args:
        test: result of `mcnemar`.
        rows: number of compared rows.
        confidence: 1 minus the level of the test.
    """
    differing = test.only_first + test.only_second
    if not differing:
        return 0.0, 0.0
    share = binomtest(test.only_second, differing).proportion_ci(confidence, method="exact")
    return differing * (2 * share.low - 1) / rows, differing * (2 * share.high - 1) / rows


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number, in the given order (Dunn 1961)."""
    return [min(1.0, len(p_values) * value) for value in p_values]


def _differing(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    return int((first & ~second).sum()), int((~first & second).sum())


def lower_share_p_value(successes: int, trials: int, reference: int, reference_trials: int) -> float:
    """Tests whether a share is lower than another: Fisher's exact test, one-sided.

    Args:
        successes, trials: the share.
        reference, reference_trials: the other share.
    """
    table = [[successes, trials - successes], [reference, reference_trials - reference]]
    return float(fisher_exact(table, alternative="less").pvalue)


def class_p_values(counts: Sequence[int], reference: Sequence[int]) -> list[float]:
    """Tests for each class whether its share is the same in two samples.

    Uses Fisher's exact test of each class against all others and multiplies the p-values by the number of classes
    (Bonferroni). The chi-square approximation is not used: with few texts it reports a third text of a rare class as
    highly significant.

    Args:
        counts: number of items of each class.
        reference: the same classes' counts in the reference sample.
    """
    rows, reference_rows = sum(counts), sum(reference)
    return [
        min(1.0, len(counts) * float(fisher_exact([[count, rows - count], [before, reference_rows - before]]).pvalue))
        for count, before in zip(counts, reference, strict=True)
    ]


def class_counts_p_value(counts: Sequence[int], reference: Sequence[int]) -> float:
    """Tests whether two samples have the same class distribution: the smallest of `class_p_values`."""
    return min(class_p_values(counts, reference))


def sample_p_value(values: np.ndarray, reference: np.ndarray) -> float:
    """Tests whether two samples have the same distribution (Kolmogorov-Smirnov); ties make it conservative."""
    return float(ks_2samp(values, reference, method="asymp").pvalue)


def rise_p_value(values: np.ndarray, reference: np.ndarray) -> float:
    """Tests whether values are greater than in a reference sample (one-sided Kolmogorov-Smirnov)."""
    return float(ks_2samp(values, reference, alternative="less", method="asymp").pvalue)


def histogram_p_value(values: np.ndarray, bounds: Sequence[float], counts: Sequence[float]) -> float:
    """Tests whether a sample fits a histogram (chi-square test of the bucket counts).

    Args:
        values: the sample.
        bounds: inner bounds of the buckets in ascending order; a bucket includes its lower bound.
        counts: bucket counts of the histogram; one more than `bounds`.
    """
    observed = np.bincount(np.searchsorted(bounds, values, side="right"), minlength=len(counts))
    table = np.array([observed, counts])
    return float(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)
