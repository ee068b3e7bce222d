"""Detects drift and skew: changes that exceed their threshold and are statistically significant.

A threshold alone would raise alerts for the noise of a quiet hour; a test alone would raise them for tiny changes in a
busy hour. An alert therefore needs both. The significance level is the allowed rate of false alarms divided by the
number of comparisons in a report (Bonferroni), so that rate is the probability of any false alert in the whole report.
The tests take about 1 ms per window and run first; TensorFlow Data Validation (TFDV), which takes about 50 ms, only
measures windows in which a test is significant.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.statistics import class_counts_p_value, histogram_p_value, sample_p_value
from pipeline.monitoring.observations import TIME
from pipeline.monitoring.reference import Reference
from pipeline.monitoring.report import CONFIDENCE, DRIFT, SIGNALS, SKEW, UNKNOWN_SHARE, Alert, Comparison, Window
from pipeline.settings import MonitoringSettings
from schema.data_set import AG_NEWS, LABEL, TEXT_LENGTH
from schema.features import load_schema
from schema.wording import amount

_HOUR = 3600
# The test misses some windows of a lasting change, so a change ends after this many windows in a row without an alert.
_CALM_WINDOWS = 6


class DriftDetector:
    """Compares the logged predictions of one model version with earlier data.

    Args:
        rows: one row per text, as returned by `observations.to_rows`.
        settings: window length, thresholds and false alarm rate.
        class_names: class names in the order of the labels.
    """

    def __init__(
        self, rows: pd.DataFrame, settings: MonitoringSettings, class_names: tuple[str, ...] = AG_NEWS.class_names
    ):
        self._class_names = class_names
        self._settings = settings
        self._schema = _comparison_schema(settings.max_class_change, settings.max_divergence)
        self._rows = rows
        seconds = settings.window_hours * _HOUR
        self._windows = [(int(start) * seconds, window) for start, window in rows.groupby(rows[TIME] // seconds)]
        compared = sum(len(window) >= settings.min_rows for _, window in self._windows)
        self._level = settings.false_alarm_rate / (len(SIGNALS) * (compared + 1))

    def windows(self) -> tuple[Window, ...]:
        """Compares each window with the most recent windows before it that had no alert."""
        usual: deque[pd.DataFrame] = deque(maxlen=self._settings.reference_windows)
        windows = []
        for start, rows in self._windows:
            enough = len(rows) >= self._settings.min_rows
            drift = tuple(self._drift(rows, pd.concat(usual), len(usual))) if enough and usual else ()
            # A window with an alert must not become the reference of later windows.
            if enough and not any(comparison.alert for comparison in drift):
                usual.append(rows)
            windows.append(_window(start, rows, drift, self._class_names))
        return tuple(windows)

    def skew(self, reference: Reference) -> tuple[Comparison, ...]:
        """Compares the whole log with the training rows and with the version's predictions for the test rows.

        A model can be biased, so its predicted classes are compared with the training labels only if there are no
        predictions for the test rows.
        """
        rows, compared = self._rows, []
        current = _statistics_of(rows, self._schema)
        p_values: dict[str, float | None]
        if reference.training is not None:
            classes = reference.class_counts(len(self._class_names))
            changes = {
                LABEL: self._class_change(self._counts(rows), classes, "of training rows"),
                TEXT_LENGTH: _mean_change(
                    TEXT_LENGTH, rows[TEXT_LENGTH].mean(), reference.mean_length(), "training rows"
                ),
            }
            p_values = {TEXT_LENGTH: histogram_p_value(rows[TEXT_LENGTH].to_numpy(), *reference.lengths())}
            if reference.predictions is None:
                p_values[LABEL] = class_counts_p_value(self._counts(rows), classes)
            measured = _distances(current, reference.training, self._schema)
            compared += self._compare(p_values, measured, changes, "training rows", len(rows), sum(classes))
        if reference.predictions is not None:
            predictions = reference.predictions
            p_values = {name: _signal_p_value(rows, predictions, name) for name in (CONFIDENCE, UNKNOWN_SHARE)}
            p_values[LABEL] = class_counts_p_value(self._counts(rows), self._counts(predictions))
            measured = _distances(current, _statistics_of(predictions, self._schema), self._schema)
            against = "its predictions for test rows"
            changes = self._changes(rows, predictions, "test rows", "of test rows")
            compared += self._compare(p_values, measured, changes, against, len(rows), len(predictions))
        return tuple(compared)

    def _drift(self, rows: pd.DataFrame, before: pd.DataFrame, windows: int) -> list[Comparison]:
        p_values: dict[str, float | None] = {LABEL: class_counts_p_value(self._counts(rows), self._counts(before))}
        p_values |= {name: _signal_p_value(rows, before, name) for name in SIGNALS if name != LABEL}
        measured: dict[str, float] = {}
        if any(p_value is not None and p_value < self._level for p_value in p_values.values()):
            current, reference = _statistics_of(rows, self._schema), _statistics_of(before, self._schema)
            measured = _distances(current, reference, self._schema)
        against = amount(windows, "earlier window")
        changes = self._changes(rows, before, "earlier windows", "in earlier windows") if measured else {}
        return self._compare(p_values, measured, changes, against, len(rows), len(before))

    def _changes(self, rows: pd.DataFrame, before: pd.DataFrame, name: str, share_name: str) -> dict[str, str]:
        """Describes the change of each signal in words."""
        means = {signal: before[signal].mean() for signal in SIGNALS if signal != LABEL and signal in before}
        changes = {
            signal: _mean_change(signal, rows[signal].mean(), mean, name)
            for signal, mean in means.items()
            if rows[signal].notna().any()
        }
        return changes | {LABEL: self._class_change(self._counts(rows), self._counts(before), share_name)}

    def _class_change(self, counts: Sequence[int], before: Sequence[int], name: str) -> str:
        """Describes the class whose share has changed most."""
        now, earlier = (np.array(one) / max(1, sum(one)) for one in (counts, before))
        label = int(np.abs(now - earlier).argmax())
        return f"{self._class_names[label]}: {100 * now[label]:.0f} % of answers, {100 * earlier[label]:.0f} % {name}"

    def _counts(self, rows: pd.DataFrame) -> list[int]:
        return _class_counts(rows, len(self._class_names))

    def _compare(
        self,
        p_values: dict[str, float | None],
        measured: dict[str, float],
        changes: Mapping[str, str],
        against: str,
        rows: int,
        reference_rows: int,
    ) -> list[Comparison]:
        compared = []
        for signal in SIGNALS:
            p_value, distance = p_values.get(signal), measured.get(signal)
            if p_value is not None:
                threshold = _threshold(self._settings, signal)
                alert = distance is not None and distance > threshold and p_value < self._level
                change = changes.get(signal, "") if alert else ""
                compared.append(
                    Comparison(signal, against, rows, reference_rows, distance, threshold, p_value, alert, change)
                )
        return compared


def find_alerts(skew: Sequence[Comparison], windows: Sequence[Window]) -> tuple[Alert, ...]:
    """Returns one alert per change; nearby windows in which the same signal changed count as one change."""
    alerts = [
        Alert(
            SKEW,
            one.signal,
            windows[0].start,
            windows[-1].start,
            len(windows),
            one.distance,
            one.threshold,
            one.p_value,
            one.change,
        )
        for one in skew
        if one.alert and one.distance is not None
    ]
    for signal in SIGNALS:
        alerts += [_drift_alert(episode) for episode in _episodes(windows, signal)]
    return tuple(sorted(alerts, key=lambda alert: (alert.since, alert.kind)))


def _episodes(windows: Sequence[Window], signal: str) -> Iterator[list[tuple[str, Comparison]]]:
    episode: list[tuple[str, Comparison]] = []
    calm = 0
    for window in windows:
        for comparison in window.drift:
            if comparison.signal != signal:
                continue
            calm = 0 if comparison.alert else calm + 1
            if comparison.alert:
                episode.append((window.start, comparison))
            elif episode and calm == _CALM_WINDOWS:
                yield episode
                episode = []
    if episode:
        yield episode


def _drift_alert(episode: Sequence[tuple[str, Comparison]]) -> Alert:
    compared = [comparison for _, comparison in episode]
    return Alert(
        DRIFT,
        compared[0].signal,
        episode[0][0],
        episode[-1][0],
        len(episode),
        max(one.distance for one in compared if one.distance is not None),
        compared[0].threshold,
        min(one.p_value for one in compared),
        max(compared, key=lambda one: one.distance or 0.0).change,
    )


def _mean_change(signal: str, now: float, before: float, name: str) -> str:
    """Describes the change of a signal's mean."""
    if signal == TEXT_LENGTH:
        return f"mean length {now:.0f} characters, {before:.0f} in {name}"
    if signal == UNKNOWN_SHARE:
        return f"{100 * now:.1f} % of the words, {100 * before:.1f} % in {name}"
    return f"mean {now:.2f}, {before:.2f} in {name}"


def _threshold(settings: MonitoringSettings, signal: str) -> float:
    return settings.max_class_change if signal == LABEL else settings.max_divergence


def _class_counts(rows: pd.DataFrame, classes: int) -> list[int]:
    return np.bincount(rows[LABEL], minlength=classes).tolist()


def _signal_p_value(rows: pd.DataFrame, before: pd.DataFrame, name: str) -> float | None:
    values, earlier = (table[name].dropna().to_numpy() for table in (rows, before))
    return sample_p_value(values, earlier) if len(values) and len(earlier) else None


def _window(start: int, rows: pd.DataFrame, drift: tuple[Comparison, ...], class_names: tuple[str, ...]) -> Window:
    shares = np.array(_class_counts(rows, len(class_names))) / len(rows)
    unknown = rows[UNKNOWN_SHARE].mean()
    return Window(
        start=datetime.fromtimestamp(start, UTC).isoformat(timespec="minutes"),
        rows=len(rows),
        classes=dict(zip(class_names, shares.tolist(), strict=True)),
        confidence=float(rows[CONFIDENCE].mean()),
        text_length=float(rows[TEXT_LENGTH].mean()),
        unknown_share=None if np.isnan(unknown) else float(unknown),
        drift=drift,
    )


def _comparison_schema(class_threshold: float, divergence_threshold: float) -> schema_pb2.Schema:
    """Returns a schema of all signals, each with a drift comparator.

    The divergence uses quantiles. With TFDV's default of ten buckets of equal width, one text of 9,000 characters would
    put all other texts into one bucket.
    """
    schema = schema_pb2.Schema()
    schema.feature.extend(feature for feature in load_schema().feature if feature.name in (LABEL, TEXT_LENGTH))
    for name in (CONFIDENCE, UNKNOWN_SHARE):
        schema.feature.add(name=name, type=schema_pb2.FLOAT)
    for feature in schema.feature:
        feature.ClearField("drift_comparator")
        if feature.name == LABEL:
            feature.drift_comparator.infinity_norm.threshold = class_threshold
        else:
            divergence = feature.drift_comparator.jensen_shannon_divergence
            divergence.threshold = divergence_threshold
            divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
    return schema


def _statistics_of(rows: pd.DataFrame, schema: schema_pb2.Schema) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Computes TFDV's statistics of the signals; columns without a value are left out."""
    columns = [name for name in SIGNALS if name in rows and rows[name].notna().any()]
    return tfdv.generate_statistics_from_dataframe(rows[columns], tfdv.StatsOptions(schema=schema), n_jobs=1)


def _distances(
    current: statistics_pb2.DatasetFeatureStatisticsList,
    reference: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
) -> dict[str, float]:
    """Measures the distance of each signal that both statistics contain, with the schema's comparators."""
    # TFDV reports an anomaly for a feature that the schema has and the statistics lack.
    common = _feature_names(current) & _feature_names(reference)
    compared = tfdv.validate_statistics(
        current,
        schema_pb2.Schema(feature=[feature for feature in schema.feature if feature.name in common]),
        previous_statistics=reference,
    )
    return {
        # The approximation can return slightly negative values for equal distributions.
        info.path.step[0]: max(measurement.value, 0.0)
        for info in compared.drift_skew_info
        for measurement in info.drift_measurements
    }


def _feature_names(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> set[str]:
    return {feature.path.step[0] for feature in statistics.datasets[0].features}
