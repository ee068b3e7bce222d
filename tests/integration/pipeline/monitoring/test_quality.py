import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.monitoring.labels import ItemLabel
from pipeline.monitoring.quality import measure_quality, quality_alerts
from pipeline.settings import MonitoringSettings
from schema.features import CLASS_NAMES

SETTINGS = MonitoringSettings()
DAY = 86_400
TEST_ROWS = np.arange(2000) % 10 > 0  # An accuracy of 0.9.


def measured(accuracies, *, seed=0, items_a_day=60, expected=TEST_ROWS, selection="random"):
    """Measures simulated predictions, with an accuracy for each day from 1970-01-01."""
    generator = np.random.default_rng(seed)
    rows, labels = [], {}
    for day, accuracy in enumerate(accuracies):
        for number in range(items_a_day):
            item, true = f"{day}-{number}", int(generator.integers(4))
            predicted = true if generator.random() < accuracy else (true + 1) % 4
            rows.append({"time": day * DAY + number, "item": item, "label": predicted, "confidence": 0.95})
            labels[item] = ItemLabel(item, CLASS_NAMES[true], "", "ann", selection)
    return measure_quality(pd.DataFrame(rows), labels, expected, SETTINGS)


def test_accuracy_and_recalls_are_counted():
    rows = pd.DataFrame(
        [
            {"time": 0, "item": "a", "label": 0, "confidence": 0.5},
            {"time": 5, "item": "a", "label": 1, "confidence": 0.7},
            {"time": DAY, "item": "b", "label": 2, "confidence": 0.9},
            {"time": DAY, "item": "unlabelled", "label": 2, "confidence": 0.1},
            {"time": DAY, "item": None, "label": 2, "confidence": 0.1},
        ]
    )
    labels = {
        item: ItemLabel(item, name, "", "ann") for item, name in (("a", "Sports"), ("b", "World"), ("c", "World"))
    }
    quality = measure_quality(rows, labels, None, SETTINGS)
    assert (quality.accuracy.rows, quality.accuracy.correct) == (2, 1)
    # The last prediction of an item counts.
    assert {name: (one.rows, one.correct) for name, one in quality.recalls.items()} == {
        "World": (1, 0),
        "Sports": (1, 1),
    }
    assert {day: (one.rows, one.correct) for day, one in quality.days.items()} == {
        "1970-01-01": (1, 1),
        "1970-01-02": (1, 0),
    }
    assert quality.confidence == pytest.approx(0.8)
    assert (quality.expected, quality.p_value, quality.alert) == (None, None, False)
    assert list(quality_alerts(quality, SETTINGS)) == []


def test_an_accuracy_as_on_the_test_rows_rarely_alerts():
    alerts = [list(quality_alerts(measured([0.9] * 7, seed=seed), SETTINGS)) for seed in range(100)]
    assert sum(map(bool, alerts)) <= 5


def test_a_fall_over_the_whole_log_is_an_alert():
    quality = measured([0.85] * 30)
    [alert] = quality_alerts(quality, SETTINGS)
    assert (alert.kind, alert.signal, alert.windows) == ("quality", "accuracy", 0)
    assert alert.distance == pytest.approx(0.9 - quality.accuracy.share)
    assert "lower than on test rows over the whole log: accuracy 86.0 % on 1,800 labelled items, 90.0 %" in str(alert)
    assert "more than 0.02, p " in str(alert)


def test_a_fall_on_some_days_names_them():
    alerts = list(quality_alerts(measured([0.95] * 10 + [0.5, 0.5] + [0.95] * 10), SETTINGS))
    [alert] = [alert for alert in alerts if alert.windows]
    assert (alert.since, alert.until, alert.windows) == ("1970-01-11", "1970-01-12", 2)
    assert "on 2 days from 1970-01-11 to 1970-01-12" in str(alert)


def test_a_day_with_few_labels_is_not_tested():
    assert measured([0.0], items_a_day=SETTINGS.min_rows - 1).worse_days == {}
    assert list(measured([0.0], items_a_day=SETTINGS.min_rows).worse_days) == ["1970-01-01"]


def test_a_significant_fall_below_the_threshold_is_no_alert():
    slight = measured([0.885] * 200, items_a_day=100, expected=np.arange(1_000_000) % 10 > 0)
    assert not slight.alert
    strict = SETTINGS.model_copy(update={"max_accuracy_fall": 0.0})
    assert dataclasses.asdict(slight)["p_value"] == 1.0
    assert list(quality_alerts(slight, strict)) == []


@pytest.mark.parametrize("selection", ["uncertain", "disagreement"])
def test_items_that_were_not_selected_at_random_do_not_count(selection):
    assert measured([0.5], selection=selection) is None
