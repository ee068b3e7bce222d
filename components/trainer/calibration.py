"""Calibration of probabilities: the expected calibration error, and the temperature that reduces it."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

_BINS = 15
_TEMPERATURES = (0.05, 20.0)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean distance between confidence and accuracy over 15 bins (Guo et al. 2017, arXiv 1706.04599).

    Args:
        probabilities: float [rows, classes].
        labels: int [rows].
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, correct - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def learn_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Finds the temperature for which softmax(logits / temperature) has the highest likelihood (Guo et al. 2017).

    Args:
        logits: float [rows, classes] for rows that the network was not trained on.
        labels: int [rows].
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded").x))


def calibration(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Returns `temperature` and the calibration error without and with it, `ece_before` and `ece_after`."""
    return {
        "temperature": temperature,
        "ece_before": expected_calibration_error(softmax(logits, axis=1), labels),
        "ece_after": expected_calibration_error(softmax(logits / temperature, axis=1), labels),
    }
