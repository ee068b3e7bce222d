"""Measures a served model's quality on the logged items that people have labelled since."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from components.statistics import lower_share_p_value, wilson_interval
from pipeline.monitoring.labels import ItemLabel
from pipeline.monitoring.observations import ITEM, TIME
from pipeline.monitoring.report import ACCURACY, CONFIDENCE, QUALITY, Alert, LabelledQuality, Proportion
from pipeline.settings import MonitoringSettings
from schema.data_set import AG_NEWS, LABEL

_DAY = 86_400


def measure_quality(
    rows: pd.DataFrame,
    labels: Mapping[str, ItemLabel],
    expected: np.ndarray | None,
    settings: MonitoringSettings,
    class_names: tuple[str, ...] = AG_NEWS.class_names,
) -> LabelledQuality | None:
    """Compares a version's predictions with the labels of the same items.

    Only labels of randomly selected items count, since others are not like the traffic. The last prediction of an item
    counts. A fall of the accuracy is significant if Fisher's exact test against the test rows says so at the level
    `false_alarm_rate`, divided by the number of tests: one for the whole log, and one for each day with at least
    `min_rows` labelled items.

    Args:
        rows: one row per text, as returned by `observations.to_rows`.
        labels: labels by id of the item.
        expected: bool [test rows], whether the version classifies each test row correctly; None if unknown.
        settings: thresholds and false alarm rate.
        class_names: class names in the order of the labels; other labels do not count.

    Returns:
        The measurement, or None if no logged item has a label that counts.
    """
    true = {
        item: class_names.index(label.label)
        for item, label in labels.items()
        if label.selection == "random" and label.label in class_names
    }
    labelled = rows[rows[ITEM].isin(true)].drop_duplicates(ITEM, keep="last")
    if labelled.empty:
        return None
    classes = labelled[ITEM].map(true)
    correct = (labelled[LABEL] == classes).to_numpy()
    by_day = {_date(day): correct[days] for day, days in labelled.groupby(labelled[TIME] // _DAY).indices.items()}
    large = {day: values for day, values in by_day.items() if len(values) >= settings.min_rows}
    level = settings.false_alarm_rate / (len(large) + 1)
    p_value = None if expected is None else _fall_p_value(correct, expected, settings)
    return LabelledQuality(
        accuracy=_proportion(correct),
        recalls={
            name: _proportion(correct[classes == label])
            for label, name in enumerate(class_names)
            if (classes == label).any()
        },
        days={day: _proportion(values) for day, values in by_day.items()},
        confidence=float(labelled[CONFIDENCE].mean()),
        expected=None if expected is None else _proportion(expected),
        p_value=p_value,
        alert=p_value is not None and p_value < level,
        worse_days={
            day: p
            for day, values in large.items()
            if expected is not None and (p := _fall_p_value(values, expected, settings)) < level
        },
    )


def quality_alerts(quality: LabelledQuality | None, settings: MonitoringSettings) -> Iterable[Alert]:
    """Yields an alert if the accuracy fell over the whole log, and one for the days on which it fell."""
    if quality is None or quality.expected is None:
        return
    threshold = settings.max_accuracy_fall
    if quality.alert and quality.p_value is not None:
        days = list(quality.days)
        fall = quality.expected.share - quality.accuracy.share
        change = _change(quality.accuracy, "labelled items", quality.expected)
        yield Alert(QUALITY, ACCURACY, days[0], days[-1], 0, fall, threshold, quality.p_value, change)
    if quality.worse_days:
        days = list(quality.worse_days)
        worst = min(days, key=lambda day: quality.days[day].share)
        fall = quality.expected.share - quality.days[worst].share
        smallest = min(quality.worse_days.values())
        change = _change(quality.days[worst], f"items of {worst}", quality.expected)
        yield Alert(QUALITY, ACCURACY, days[0], days[-1], len(days), fall, threshold, smallest, change)


def _change(measured: Proportion, name: str, expected: Proportion) -> str:
    return (
        f"accuracy {100 * measured.share:.1f} % on {measured.rows:,} {name}, {100 * expected.share:.1f} % on test rows"
    )


def _fall_p_value(correct: np.ndarray, expected: np.ndarray, settings: MonitoringSettings) -> float:
    """Returns 1 if the accuracy has not fallen by more than the threshold."""
    if expected.mean() - correct.mean() <= settings.max_accuracy_fall:
        return 1.0
    return lower_share_p_value(int(correct.sum()), len(correct), int(expected.sum()), len(expected))


def _proportion(correct: Sequence[bool] | np.ndarray) -> Proportion:
    rows, right = len(correct), int(np.sum(correct))
    return Proportion(rows, right, *wilson_interval(right, rows))


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).date().isoformat()
