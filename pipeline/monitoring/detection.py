"""What is worth an alert: a distance over its threshold that is no chance, however many windows are looked at.

A threshold alone would fire on the noise of a quiet hour, a test alone on a busy hour's smallest change. Both must
speak. The tests' level is the allowed rate of false alarms shared out over all comparisons of a report (Bonferroni), so
that rate is the probability of any false alert in the whole of it. The tests take a millisecond a window and go first;
TFDV, which takes fifty, measures the windows in which one of them speaks.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from pipeline.monitoring.distances import comparing_schema, distances, statistics_of
from pipeline.monitoring.observations import TIME
from pipeline.monitoring.reference import Reference
from pipeline.monitoring.report import CONFIDENCE, DRIFT, SIGNALS, SKEW, UNKNOWN_SHARE, Alert, Comparison, Window
from pipeline.monitoring.significance import classes_p_value, histogram_p_value, sample_p_value
from pipeline.settings import MonitoringSettings
from schema.features import CLASS_NAMES, LABEL, TEXT_LENGTH

_HOUR = 3600
# A test misses some windows of a change that lasts: it is over after as many in a row without an alert.
_CALM_WINDOWS = 6


class DriftDetector:
    """Compares the rows of one version with what was before.

    Args:
        rows: as `observations.to_rows` makes them.
        settings: windows, thresholds and the rate of false alarms.
    """

    def __init__(self, rows: pd.DataFrame, settings: MonitoringSettings):
        self._settings = settings
        self._schema = comparing_schema(settings.max_class_change, settings.max_divergence)
        self._rows = rows
        seconds = settings.window_hours * _HOUR
        self._windows = [(int(start) * seconds, window) for start, window in rows.groupby(rows[TIME] // seconds)]
        judged = sum(len(window) >= settings.min_rows for _, window in self._windows)
        self._level = settings.false_alarm_rate / (len(SIGNALS) * (judged + 1))

    def windows(self) -> tuple[Window, ...]:
        """Each window, compared with the last ones before it that were as usual."""
        usual: deque[pd.DataFrame] = deque(maxlen=self._settings.reference_windows)
        judged = []
        for start, rows in self._windows:
            enough = len(rows) >= self._settings.min_rows
            drift = tuple(self._drift(rows, pd.concat(usual), len(usual))) if enough and usual else ()
            # What was found changed must not become what the next window is compared with.
            if enough and not any(comparison.alert for comparison in drift):
                usual.append(rows)
            judged.append(_window(start, rows, drift))
        return tuple(judged)

    def skew(self, reference: Reference) -> tuple[Comparison, ...]:
        """The whole log, compared with the training rows and with the version's own answers to test rows.

        A model may have a bias of its own: its classes are compared with the training labels only where there are no
        answers.
        """
        rows, compared = self._rows, []
        current = statistics_of(rows, self._schema)
        p_values: dict[str, float | None]
        if reference.training is not None:
            classes = reference.class_counts()
            p_values = {TEXT_LENGTH: histogram_p_value(rows[TEXT_LENGTH].to_numpy(), *reference.lengths())}
            if reference.answers is None:
                p_values[LABEL] = classes_p_value(_class_counts(rows), classes)
            measured = distances(current, reference.training, self._schema)
            compared += self._compare(p_values, measured, "training rows", len(rows), sum(classes))
        if reference.answers is not None:
            answers = reference.answers
            p_values = {name: _sample_p_value(rows, answers, name) for name in (CONFIDENCE, UNKNOWN_SHARE)}
            p_values[LABEL] = classes_p_value(_class_counts(rows), _class_counts(answers))
            measured = distances(current, statistics_of(answers, self._schema), self._schema)
            compared += self._compare(p_values, measured, "its answers to test rows", len(rows), len(answers))
        return tuple(compared)

    def _drift(self, rows: pd.DataFrame, before: pd.DataFrame, windows: int) -> list[Comparison]:
        p_values: dict[str, float | None] = {LABEL: classes_p_value(_class_counts(rows), _class_counts(before))}
        p_values |= {name: _sample_p_value(rows, before, name) for name in SIGNALS if name != LABEL}
        measured: dict[str, float] = {}
        if any(p_value is not None and p_value < self._level for p_value in p_values.values()):
            measured = distances(statistics_of(rows, self._schema), statistics_of(before, self._schema), self._schema)
        return self._compare(p_values, measured, f"{windows} windows before", len(rows), len(before))

    def _compare(
        self,
        p_values: dict[str, float | None],
        measured: dict[str, float],
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
                compared.append(Comparison(signal, against, rows, reference_rows, distance, threshold, p_value, alert))
        return compared


def alerts(skew: Sequence[Comparison], windows: Sequence[Window]) -> tuple[Alert, ...]:
    """One alert a change: windows near each other in which a signal is changed are one."""
    found = [
        Alert(
            SKEW,
            one.signal,
            windows[0].start,
            windows[-1].start,
            len(windows),
            one.distance,
            one.threshold,
            one.p_value,
        )
        for one in skew
        if one.alert and one.distance is not None
    ]
    for signal in SIGNALS:
        found += [_episode(episode) for episode in _episodes(windows, signal)]
    return tuple(sorted(found, key=lambda alert: (alert.since, alert.kind)))


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


def _episode(episode: Sequence[tuple[str, Comparison]]) -> Alert:
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
    )


def _threshold(settings: MonitoringSettings, signal: str) -> float:
    return settings.max_class_change if signal == LABEL else settings.max_divergence


def _class_counts(rows: pd.DataFrame) -> list[int]:
    return np.bincount(rows[LABEL], minlength=len(CLASS_NAMES)).tolist()


def _sample_p_value(rows: pd.DataFrame, before: pd.DataFrame, name: str) -> float | None:
    values, earlier = (some[name].dropna().to_numpy() for some in (rows, before))
    return sample_p_value(values, earlier) if len(values) and len(earlier) else None


def _window(start: int, rows: pd.DataFrame, drift: tuple[Comparison, ...]) -> Window:
    shares = np.array(_class_counts(rows)) / len(rows)
    unknown = rows[UNKNOWN_SHARE].mean()
    return Window(
        start=datetime.fromtimestamp(start, UTC).isoformat(timespec="minutes"),
        rows=len(rows),
        classes=dict(zip(CLASS_NAMES, shares.tolist(), strict=True)),
        confidence=float(rows[CONFIDENCE].mean()),
        text_length=float(rows[TEXT_LENGTH].mean()),
        unknown_share=None if np.isnan(unknown) else float(unknown),
        drift=drift,
    )
