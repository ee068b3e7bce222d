import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.model_card.baseline import compare_with_baseline
from components.model_card.rows import TestRows, Texts

ROWS = TestRows(["1", "2", "3", "4", "5"], Texts(["x"] * 5, [""] * 5), np.array([0, 0, 0, 1, 2]), ["short"] * 5)


@pytest.fixture
def baseline():
    model = standard_artifacts.Model()
    model.uri, model.id = "/nowhere", 3
    return [model]


class Always:
    """Answers with the same classes for any texts."""

    def __init__(self, *answers):
        self._answers = answers

    def probabilities(self, texts):
        return np.eye(4)[list(self._answers)]


def test_rows_that_one_alone_has_right_are_counted_on_each_side(baseline):
    answers = np.array([0, 0, 0, 0, 3])
    found = compare_with_baseline(baseline, ROWS, answers, load=lambda directory: Always(0, 1, 1, 1, 1))
    assert (found.test.only_first, found.test.only_second) == (2, 1)
    assert found.change == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    assert (found.model, found.other_answers) == (3, 4)


def test_a_baseline_that_is_gone_is_no_reason_to_fail(baseline):
    found = compare_with_baseline(baseline, ROWS, np.zeros(5, int))
    assert not found
    assert "model 3, cannot be asked" in found.not_available


def test_a_baseline_of_other_classes_is_not_compared(baseline):
    def load(directory):
        raise ValueError("the model's classes are others")

    assert "others" in compare_with_baseline(baseline, ROWS, np.zeros(5, int), load=load).not_available
