"""Tests of comparing two models on the same rows."""

from dataclasses import fields, replace

import numpy as np
import pytest

from components.model_card.card import Card
from components.model_card.data import Data
from components.model_card.predictions import Predictions
from components.statistics import exact_change_interval, mcnemar
from pipeline.review.comparison import (
    ChangedValue,
    changed_code,
    changed_data,
    changed_settings,
    compare_predictions,
    unapplied_thresholds,
)
from pipeline.review.evidence import read_evidence
from schema.features import CLASS_NAMES

WORLD, SPORTS, *_ = CLASS_NAMES


def predictions(answers, ids=None, labels=None, probability=0.9):
    count = len(answers)
    return Predictions(
        np.array(ids or [f"id{number}" for number in range(count)], object),
        np.array(labels or [WORLD] * count, object),
        np.array(["short"] * count, object),
        np.array(answers, object),
        np.full(count, probability, np.float32),
    )


def test_each_slice_is_tested_on_its_rows():
    labels = [WORLD] * 30 + [SPORTS] * 10
    first = predictions([WORLD] * 40, labels=labels)
    second = predictions([SPORTS] * 40, labels=labels)
    found = {row.name: row for row in compare_predictions(first, second).slices}
    assert found.keys() == {"all", f"label={WORLD}", f"label={SPORTS}", "length_bucket=short"}
    assert (found["all"].first, found["all"].second, found["all"].change) == (0.75, 0.25, -0.5)
    world = found[f"label={WORLD}"]
    assert world.test == mcnemar(np.full(30, True), np.full(30, False))
    assert world.significant
    assert world.low <= world.change <= world.high


def test_columns_of_the_data_set_are_slices_and_ids_name_the_rows():
    columns = {"kanal": np.array(["a", "b", "b"], object), "source_id": np.array(["7", "8", "9"], object)}
    first, second = predictions([WORLD] * 3), replace(predictions([WORLD, SPORTS, WORLD]), columns=columns)
    found = compare_predictions(first, second)
    assert {row.name: row.rows for row in found.slices if row.name.startswith("kanal")} == {"kanal=a": 1, "kanal=b": 2}
    assert [row.source_id for row in found.changed] == ["8"]


def test_an_interval_excludes_zero_exactly_if_the_change_is_significant():
    generator = np.random.default_rng(7)
    for rows in (40, 200, 2000):
        for _ in range(30):
            first = generator.random(rows) < 0.8
            second = np.where(generator.random(rows) < 0.1, generator.random(rows) < 0.9, first)
            test = mcnemar(first, second)
            low, high = exact_change_interval(test, rows, 1 - 0.05 / 9)
            assert (9 * test.p_value < 0.05) == (low > 0 or high < 0)
            change = second.mean() - first.mean()
            assert low - 1e-9 <= change <= high + 1e-9


def test_p_values_are_corrected_for_the_number_of_slices():
    # All six rows are broken, so p = 2 / 2^6 in each slice before the correction.
    second = predictions([SPORTS] * 6)
    rows = compare_predictions(predictions([WORLD] * 6), second).slices
    assert rows[0].test.p_value == pytest.approx(2 / 64)
    assert all(row.p_value == pytest.approx(len(rows) * 2 / 64) for row in rows)
    assert not rows[0].significant


def test_equal_models_have_no_changes():
    found = compare_predictions(predictions([WORLD] * 5), predictions([WORLD] * 5))
    assert found.changed == ()
    assert not any(row.significant for row in found.slices)


def test_rows_are_paired_by_id_and_unpaired_rows_are_counted():
    first = predictions([WORLD, WORLD, SPORTS], ids=["c", "a", "b"])
    second = predictions([SPORTS, WORLD, WORLD], ids=["b", "c", "x"])
    found = compare_predictions(first, second)
    assert found.slices[0].rows == 2
    assert (found.only_first, found.only_second) == (1, 1)
    assert found.changed == ()


def test_duplicate_texts_count_once():
    first = predictions([WORLD, WORLD], ids=["a", "a"])
    found = compare_predictions(first, predictions([SPORTS], ids=["a"]))
    assert (found.slices[0].rows, found.only_first, len(found.changed)) == (1, 0, 1)


def test_models_without_a_common_row_have_no_slices():
    found = compare_predictions(predictions([WORLD], ids=["a"]), predictions([WORLD], ids=["b"]))
    assert (found.slices, found.changed, found.only_first, found.only_second) == ((), (), 1, 1)


def test_a_changed_prediction_is_broken_fixed_or_both_wrong():
    first = predictions([WORLD, SPORTS, SPORTS])
    second = predictions([SPORTS, WORLD, CLASS_NAMES[2]])
    assert {row.id: row.outcome for row in compare_predictions(first, second).changed} == {
        "id0": "broken",
        "id1": "fixed",
        "id2": "both wrong",
    }


def test_simulated_evidence_has_the_fields_of_real_cards(simulated):
    evidence = read_evidence(str(simulated.root / "card-1"))
    assert evidence.keys() <= {field.name for field in fields(Card)}
    assert evidence["data"].keys() == {field.name for field in fields(Data)}


def test_changed_settings_code_and_data_are_listed(simulated):
    first, last = read_evidence(str(simulated.root / "card-1")), read_evidence(str(simulated.root / "card-10"))
    settings = changed_settings(first, last)
    assert ChangedValue("epochs", "3", "4") in settings
    assert {one.name for one in settings} == {"epochs"}
    assert {one.name for one in changed_data(first, last)} == {
        "spans",
        "rows read",
        "rows quarantined",
        "words in the vocabulary",
        "SHA-256 of the written rows",
    }
    assert changed_code(first, last) == []


def test_a_value_that_one_model_lacks_is_a_change(simulated):
    first = read_evidence(str(simulated.root / "card-1"))
    other = {**first, "training": {"not_available": "the export has no training.json"}}
    assert ChangedValue("seed", "42", None) in changed_settings(first, other)


def with_baseline_threshold(evidence, bound):
    """Returns the evidence with a threshold against a baseline; without one for bound=None, and without a baseline."""
    verdicts = evidence["verdicts"]
    if bound is None:
        return {**evidence, "baseline": {"not_available": "it is the first"}}
    threshold = {**verdicts["thresholds"][0], "against_baseline": True, "bound": bound}
    return {**evidence, "verdicts": {**verdicts, "thresholds": [*verdicts["thresholds"], threshold]}}


def test_thresholds_of_a_model_without_a_baseline_have_not_changed(simulated):
    evidence = read_evidence(str(simulated.root / "card-1"))
    without, first, second = (with_baseline_threshold(evidence, bound) for bound in (None, -0.005, -0.01))
    assert changed_settings(without, first) == changed_settings(first, without) == []
    assert unapplied_thresholds(without, (without, first)) == ["threshold: change of accuracy"]
    assert unapplied_thresholds(first, (without, first)) == []
    name = "threshold: change of accuracy"
    assert changed_settings(first, second) == [ChangedValue(name, "-0.005", "-0.01")]


@pytest.mark.parametrize(
    ("approvals", "changes"),
    [((False, True), [("false", "true")]), ((True, True), []), ((None, True), []), ((True, None), [])],
)
def test_a_changed_approval_rule_is_a_changed_setting(simulated, approvals, changes):
    evidence = read_evidence(str(simulated.root / "card-1"))
    found = [(one.first, one.second) for one in changed_settings(evidence, evidence, approvals)]
    assert found == changes
