"""Calibration of probabilities: the expected calibration error, and the temperature that reduces it."""

import logging

import numpy as np

from schema.wording import amount

logger = logging.getLogger(__name__)

_BINS = 15
_TEMPERATURES = (0.05, 20.0)
_MIN_ROWS, _MIN_ERRORS = 200, 20
"""With 20 errors, nine of ten learned temperatures are within a quarter of the true one."""
_ITERATIONS = 60
_GOLDEN = (5**0.5 - 1) / 2


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
        return -_log_softmax(logits / np.exp(log_temperature))[rows, labels].mean()

    # Golden-section search: the loss has one minimum, and SciPy may not be installed where a network is trained.
    low, high = np.log(_TEMPERATURES)
    for _ in range(_ITERATIONS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def calibrate(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | str]:
    """Learns the temperature if the rows suffice; few errors leave the likelihood without a maximum.

    Args:
        logits: float [rows, classes] for rows that the network was not trained on.
        labels: int [rows].

    Returns:
        `temperature`; the calibration error without and with it, `ece_before` and `ece_after`; and, if the temperature
        is 1 because it could not be learned, `not_learned`, the reason.
    """
    errors = int((logits.argmax(axis=1) != labels).sum())
    temperature, reason = 1.0, None
    if len(labels) < _MIN_ROWS or errors < _MIN_ERRORS:
        reason = (
            f"val has {amount(len(labels), 'row')} with {amount(errors, 'wrong answer')}; a temperature needs at least "
            f"{_MIN_ROWS:,} rows with {_MIN_ERRORS:,} wrong answers"
        )
    else:
        temperature = learn_temperature(logits, labels)
        if bound := next((bound for bound in _TEMPERATURES if np.isclose(temperature, bound, rtol=0.01)), None):
            temperature = 1.0
            reason = f"the likelihood on val is highest at {bound:g}, the bound of the search"
    if reason:
        logger.warning(f"probabilities are not calibrated, the temperature is 1: {reason}")
    return {
        "temperature": temperature,
        "ece_before": expected_calibration_error(np.exp(_log_softmax(logits)), labels),
        "ece_after": expected_calibration_error(np.exp(_log_softmax(logits / temperature)), labels),
        **({"not_learned": reason} if reason else {}),
    }


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
