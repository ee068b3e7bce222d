from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

from components.model_card.document import Paragraph
from components.model_card.evidence import NotAvailable
from components.model_card.quality import describe_calibration, without_temperature
from components.model_card.quality_sections import _calibration
from components.trainer.calibration import expected_calibration_error

GENERATOR = np.random.default_rng(2)
LOGITS = GENERATOR.normal(size=(500, 4)) * 3
LABELS = GENERATOR.integers(0, 4, 500)


def test_the_temperature_can_be_taken_back():
    np.testing.assert_allclose(without_temperature(softmax(LOGITS / 1.7, axis=1), 1.7), softmax(LOGITS, axis=1))


def test_a_probability_of_zero_stays_one():
    assert without_temperature(np.array([[1.0, 0.0, 0.0, 0.0]]), 2.0)[0].tolist() == pytest.approx([1, 0, 0, 0])


def test_the_error_is_the_bins_weighted_distance_of_confidence_and_accuracy():
    found = describe_calibration(softmax(LOGITS, axis=1), LABELS, NotAvailable("none"))
    weighted = sum(part.rows * abs(part.accuracy.value - part.confidence) for part in found.bins) / len(LABELS)
    assert weighted == pytest.approx(found.error)
    assert found.error == pytest.approx(expected_calibration_error(softmax(LOGITS, axis=1), LABELS))
    assert sum(part.rows for part in found.bins) == len(LABELS)
    assert found.temperature == found.error_before == NotAvailable("none")


def test_the_section_says_why_the_temperature_is_one():
    training = SimpleNamespace(temperature=1.0, not_calibrated="val has 23 rows")
    card = SimpleNamespace(calibration=describe_calibration(softmax(LOGITS, axis=1), LABELS, training))
    texts = [block.text for block in _calibration(card) if isinstance(block, Paragraph)]
    assert texts == ["Not calibrated, the temperature is 1: val has 23 rows."]
    assert card.calibration.error == pytest.approx(card.calibration.error_before)
