"""Whether a difference may be chance: probabilities of one as large, were nothing changed."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp


def classes_p_value(counts: Sequence[int], reference: Sequence[int]) -> float:
    """Of two sets of class counts, for the class that differs most.

    Fisher's exact test of each class against the others, times their number (Bonferroni): exact for the few texts of a
    quiet hour, where the chi-square approximation takes a rare class's third text for a wonder.
    """
    rows, reference_rows = sum(counts), sum(reference)
    p_values = [
        fisher_exact([[count, rows - count], [before, reference_rows - before]]).pvalue
        for count, before in zip(counts, reference, strict=True)
    ]
    return min(1.0, len(p_values) * float(min(p_values)))


def sample_p_value(values: np.ndarray, reference: np.ndarray) -> float:
    """Of two samples, by the Kolmogorov-Smirnov test; equal values make it the more careful."""
    return float(ks_2samp(values, reference, method="asymp").pvalue)


def histogram_p_value(values: np.ndarray, bounds: Sequence[float], counts: Sequence[float]) -> float:
    """Of a sample against a histogram, by the chi-square test of its buckets.

    Args:
        values: the sample.
        bounds: inner bounds of the buckets, rising; a bucket holds its lower bound.
        counts: of the histogram, one more than bounds.
    """
    observed = np.bincount(np.searchsorted(bounds, values, side="right"), minlength=len(counts))
    table = np.array([observed, counts])
    return float(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)
