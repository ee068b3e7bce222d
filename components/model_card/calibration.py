"""The section about probabilities: whether predictions with a confidence of 0.9 are correct nine times in ten."""

from dataclasses import dataclass

import numpy as np

from components.model_card.evidence import NotAvailable, Share
from components.model_card.training import Training
from components.trainer.calibration import expected_calibration_error

_BINS = 15


@dataclass(frozen=True)
class Bin:
    """Test rows of similar confidence: their number, mean confidence, and accuracy."""

    rows: int
    confidence: float
    accuracy: Share


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram of the test rows (Guo et al. 2017, arXiv 1706.04599).

    Attributes:
        bins: the non-empty ones of 15 bins of equal width, by rising confidence.
        error: expected calibration error of the served probabilities.
        error_before: the same error without dividing the logits by the temperature.
        temperature: temperature learned on val.
    """

    bins: tuple[Bin, ...]
    error: float
    error_before: float | NotAvailable
    temperature: float | NotAvailable


def describe_calibration(
    probabilities: np.ndarray, labels: np.ndarray, training: Training | NotAvailable
) -> Calibration:
    """Bins the test rows by confidence.

    Args:
        probabilities: float [rows, classes], as served.
        labels: int [rows].
        training: facts of the training, which include the temperature.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    numbers = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins = []
    for number in np.unique(numbers):
        mask = numbers == number
        rows = int(mask.sum())
        bins.append(Bin(rows, float(confidence[mask].mean()), Share.of(int(correct[mask].sum()), rows)))
    error = expected_calibration_error(probabilities, labels)
    if isinstance(training, NotAvailable):
        return Calibration(tuple(bins), error, training, training)
    before = expected_calibration_error(without_temperature(probabilities, training.temperature), labels)
    return Calibration(tuple(bins), error, before, training.temperature)


def without_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Computes softmax(logits) from softmax(logits / temperature), as powers that are normalized to sum to one.

    Args:
        probabilities: float [rows, classes].
        temperature: divisor of the logits.
    """
    tiny = np.finfo(np.float64).tiny
    powers = np.maximum(probabilities, tiny) ** temperature
    return powers / powers.sum(axis=1, keepdims=True)
