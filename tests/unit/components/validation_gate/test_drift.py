"""Tests the two witnesses of drift on simulated days: ordinary ones pass, planted changes are found."""

import itertools

import numpy as np
import pytest

from components.validation_gate.drift import (
    JENSEN_SHANNON,
    L_INFINITY,
    RISE,
    UNKNOWN_WORDS,
    Limit,
    Rows,
    measure_drift,
)

LIMITS = [
    Limit("label", L_INFINITY, 0.05),
    Limit("text_length", JENSEN_SHANNON, 0.1),
    Limit(UNKNOWN_WORDS, RISE, 0.1),
]
NAMES = ("World", "Sports", "Business", "Science")


def simulate(generator, rows, *, shares=(0.25,) * 4, longer=1.0, language="w"):
    """Returns the splits of a day: words with Zipf's frequencies, lengths with a long tail."""
    words = np.char.add(language, (generator.zipf(1.3, (rows, 5)) % 5000).astype(str))
    values = {
        "label": generator.choice(len(shares), rows, p=shares),
        "text_length": (generator.lognormal(5.4, 0.3, rows) * longer).astype(int),
    }
    texts = list(map(" ".join, words.tolist()))
    split_at = {"train": slice(0, rows * 8 // 10), "val": slice(rows * 8 // 10, rows * 9 // 10), "test": None}
    split_at["test"] = slice(rows * 9 // 10, rows)
    return {
        split: Rows({name: column[part] for name, column in values.items()}, texts[part])
        for split, part in split_at.items()
    }


def find(current, before):
    measured = measure_drift(current, before, LIMITS, false_alarm_rate=0.001, names={"label": NAMES})
    return [drift for drift in measured if drift.is_significant]


@pytest.mark.parametrize("rows", [70, 250, 1000])
def test_of_a_hundred_ordinary_days_at_most_one_is_refused(rows):
    generator = np.random.default_rng(rows)
    days = [simulate(generator, rows) for _ in range(101)]
    assert sum(bool(find(day, before)) for before, day in itertools.pairwise(days)) <= 1


@pytest.mark.parametrize("rows", [250, 1000, 20_000])
@pytest.mark.parametrize(
    ("change", "signal"),
    [
        ({"shares": (0.1, 0.5, 0.2, 0.2)}, "label"),
        ({"longer": 1.6}, "text_length"),
        ({"language": "x"}, UNKNOWN_WORDS),
    ],
    ids=["label", "length", "language"],
)
def test_a_planted_change_is_found_and_nothing_else(rows, change, signal):
    generator = np.random.default_rng(5)
    found = find(simulate(generator, rows, **change), simulate(generator, rows))
    assert {drift.feature for drift in found} == {signal}


def test_the_message_names_class_shares_rows_and_probability():
    generator = np.random.default_rng(5)
    [drift] = find(simulate(generator, 250, shares=(0.1, 0.6, 0.2, 0.1)), simulate(generator, 1000))
    text = str(drift)
    assert text.startswith("class Sports is 56.0")
    assert "% of the rows and was 2" in text
    assert "250 rows against 1,000" in text
    assert "p = " in text


def test_small_splits_are_compared_together_and_large_ones_alone():
    generator = np.random.default_rng(5)
    day = simulate(generator, 2000)
    measured = measure_drift(day, day, LIMITS, false_alarm_rate=0.001, names={})
    assert {drift.split for drift in measured} == {"train", "val and test"}


def test_the_level_is_shared_over_all_comparisons():
    generator = np.random.default_rng(5)
    day = simulate(generator, 2000)
    measured = measure_drift(day, day, LIMITS, false_alarm_rate=0.06, names={})
    assert {drift.level for drift in measured} == {0.01}


def test_a_move_within_the_limit_is_no_drift_however_certain():
    generator = np.random.default_rng(5)
    moved = simulate(generator, 20_000, shares=(0.28, 0.22, 0.25, 0.25))
    [labels, *_] = measure_drift(moved, simulate(generator, 20_000), LIMITS[:1], false_alarm_rate=0.001, names={})
    assert labels.p_value < 1e-6
    assert not labels.is_significant


def test_rows_that_were_seen_before_are_no_drift():
    day = simulate(np.random.default_rng(5), 250)
    assert find(day, day) == []


def test_a_text_without_blanks_is_compared_by_characters():
    generator = np.random.default_rng(5)

    def day(first):
        texts = ["".join(chr(first + code) for code in generator.integers(0, 60, 20)) for _ in range(300)]
        return {"train": Rows({}, texts)}

    limits = [Limit(UNKNOWN_WORDS, RISE, 0.1)]
    [same] = measure_drift(day(0x4E00), day(0x4E00), limits, false_alarm_rate=0.001, names={})
    [other] = measure_drift(day(0x4F00), day(0x4E00), limits, false_alarm_rate=0.001, names={})
    assert not same.is_significant
    assert other.is_significant
