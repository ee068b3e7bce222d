import numpy as np
import pytest

from components.statistics import change_interval, mcnemar, wilson_interval


def marks(right, wrong):
    return np.array([True] * right + [False] * wrong)


@pytest.mark.parametrize(
    ("right", "rows", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
)
def test_the_interval_is_that_of_newcombes_table(right, rows, low, high):
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3: Wilson's score without continuity correction."""
    found = wilson_interval(right, rows)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_a_greater_confidence_makes_a_wider_interval():
    low, high = wilson_interval(90, 100, confidence=0.8)
    wider_low, wider_high = wilson_interval(90, 100, confidence=0.99)
    assert wider_low < low < 0.9 < high < wider_high


def test_the_exact_test_is_a_binomial_of_the_discordant_rows():
    both_right, both_wrong = np.full(50, True), np.full(20, False)
    first = np.concatenate([both_right, both_wrong, marks(1, 5)])
    second = np.concatenate([both_right, both_wrong, ~marks(1, 5)])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (1, 5)
    # At most one of six tosses on one side, or on the other: 2 * (1 + 6) of 64.
    assert found.p_value == pytest.approx(2 * 7 / 64)


def test_the_order_of_the_two_does_not_change_the_probability():
    first, second = marks(12, 8), marks(4, 16)
    assert mcnemar(first, second).p_value == mcnemar(second, first).p_value < 0.05


def test_an_even_split_says_nothing():
    first = np.array([True, False] * 4)
    assert mcnemar(first, ~first).p_value == 1.0


def test_without_a_differing_row_both_are_equally_good():
    found = mcnemar(marks(3, 2), marks(3, 2))
    assert (found.only_first, found.only_second, found.p_value) == (0, 0, 1.0)


def test_the_interval_of_a_change_is_near_the_estimate_and_may_contain_zero():
    first, second = np.array([True] * 80 + [False] * 20), np.array([True] * 90 + [False] * 10)
    low, high = change_interval(first, second)
    assert 0 < low < 0.1 < high
    low, high = change_interval(first, first)
    assert low < 0 < high
    assert low == pytest.approx(-high)


def test_the_change_interval_holds_the_true_change_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        first, drawn = generator.random(300) < 0.9, generator.random(300)
        second = np.where(first, drawn > 0.06, drawn < 0.2)  # 0.9 to 0.9 * 0.94 + 0.1 * 0.2
        low, high = change_interval(first, second)
        held += low <= 0.866 - 0.9 <= high
    assert 0.92 <= held / 400 <= 0.98
