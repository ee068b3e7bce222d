import numpy as np
import pytest
from scipy.special import softmax

from components.trainer.calibration import calibration, expected_calibration_error, learn_temperature


def test_calibrated_probabilities_have_no_error():
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0)


def test_the_error_is_the_mean_gap_of_confidence_and_accuracy():
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])
    labels = np.array([0, 1, 1, 0])  # 0.9 is right once in three, 0.6 always.
    assert expected_calibration_error(probabilities, labels) == pytest.approx((3 * (0.9 - 1 / 3) + 0.4) / 4)


def test_a_probability_of_one_is_in_the_last_bin():
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_corrects_a_known_overconfidence(factor):
    generator = np.random.default_rng(1)
    logits = generator.normal(scale=2.0, size=(40_000, 4))
    labels = np.array([generator.choice(4, p=row) for row in softmax(logits[:20_000], axis=1)])
    assert learn_temperature(logits[:20_000] * factor, labels) == pytest.approx(factor, rel=0.05)


def test_the_temperature_reduces_the_error():
    generator = np.random.default_rng(1)
    logits = generator.normal(scale=2.0, size=(5_000, 4))
    labels = np.array([generator.choice(4, p=row) for row in softmax(logits, axis=1)])
    found = calibration(3 * logits, labels, learn_temperature(3 * logits, labels))
    assert found["ece_after"] < 0.02 < 0.1 < found["ece_before"]
