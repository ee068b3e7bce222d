import numpy as np
import pytest
from scipy.special import softmax

from components.trainer.calibration import calibrate, expected_calibration_error, learn_temperature


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


def overconfident(rows, factor=3.0):
    generator = np.random.default_rng(1)
    logits = generator.normal(scale=2.0, size=(rows, 4))
    return factor * logits, np.array([generator.choice(4, p=row) for row in softmax(logits, axis=1)])


def test_the_temperature_reduces_the_error():
    found = calibrate(*overconfident(5_000))
    assert found["ece_after"] < 0.02 < 0.1 < found["ece_before"]
    assert "not_learned" not in found


def test_rows_that_are_all_right_leave_the_temperature_at_one(caplog):
    """23 such rows once gave 0.05, the bound of the search: every answer was certain."""
    logits = np.random.default_rng(1).normal(size=(23, 4))
    found = calibrate(logits, logits.argmax(axis=1))
    reason = "val has 23 rows with 0 wrong answers; a temperature needs at least 200 rows with 20 wrong answers"
    assert (found["temperature"], found["not_learned"]) == (1.0, reason)
    assert found["ece_after"] == found["ece_before"]
    assert caplog.messages == [f"probabilities are not calibrated, the temperature is 1: {reason}"]


def test_few_errors_in_many_rows_leave_the_temperature_at_one():
    logits, _ = overconfident(1_000)
    labels = logits.argmax(axis=1)
    labels[:19] = (labels[:19] + 1) % 4
    assert calibrate(logits, labels)["not_learned"].startswith("val has 1,000 rows with 19 wrong answers")
    labels[19] = (labels[19] + 1) % 4
    assert "not_learned" not in calibrate(logits, labels)


def test_a_temperature_at_the_bound_of_the_search_is_not_used():
    """Labels that have nothing to do with the answers are most likely at the highest temperature."""
    logits, _ = overconfident(1_000, factor=100.0)
    found = calibrate(logits, np.random.default_rng(2).integers(0, 4, 1_000))
    assert found["temperature"] == 1.0
    assert found["not_learned"] == "the likelihood on val is highest at 20, the bound of the search"
