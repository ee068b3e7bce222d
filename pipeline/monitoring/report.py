"""The data classes of a monitoring report; their field names are the keys of `monitoring.json`."""

import json
from dataclasses import asdict, dataclass

from schema.features import LABEL, TEXT_LENGTH
from schema.wording import amount

CONFIDENCE, UNKNOWN_SHARE = "confidence", "unknown_share"
SIGNALS = {
    LABEL: "predicted class",
    CONFIDENCE: "confidence",
    TEXT_LENGTH: "text length",
    UNKNOWN_SHARE: "unknown words",
}
"""The monitored signals: column names with display names."""

ACCURACY = "accuracy"
SIGNAL_NAMES = SIGNALS | {ACCURACY: "accuracy"}
"""Display names of everything that an alert can be about."""

SKEW, DRIFT, QUALITY = "skew", "drift", "quality"
JSON_FILE = "monitoring.json"


@dataclass(frozen=True)
class Comparison:
    """A comparison of one signal with reference data.

    Attributes:
        signal: a key of `SIGNALS`.
        against: description of the reference data.
        rows: number of texts in the log.
        reference_rows: number of rows in the reference data.
        distance: for the predicted class the largest change of a class's share (L-infinity), for other signals the
            Jensen-Shannon divergence (base 2); 0 to 1, measured by TensorFlow Data Validation. None for windows in
            which no test is significant, because it is not measured there.
        threshold: distance above which a change matters.
        p_value: probability of a difference this large if nothing has changed.
        alert: whether the change exceeds the threshold and is significant.
        change: the change in words, with both values; empty in reports of earlier releases.
    """

    signal: str
    against: str
    rows: int
    reference_rows: int
    distance: float | None
    threshold: float
    p_value: float
    alert: bool
    change: str = ""


@dataclass(frozen=True)
class Window:
    """A time window of the log.

    Attributes:
        start: UTC, ISO 8601.
        rows: number of texts.
        classes: share of each predicted class by class name.
        confidence: mean probability of the predicted class.
        text_length: mean number of characters.
        unknown_share: mean share of tokens that are not in the vocabulary; None if the log does not contain it.
        drift: comparisons with earlier windows; empty if the window has too few texts.
    """

    start: str
    rows: int
    classes: dict[str, float]
    confidence: float
    text_length: float
    unknown_share: float | None
    drift: tuple[Comparison, ...]


def readable_moment(moment: str) -> str:
    """Shortens an ISO 8601 time to minutes."""
    return moment[:16].replace("T", " ")


def readable_p(value: float) -> str:
    """Formats a p-value, which can be too small for a float."""
    return f"{value:.1e}" if value > 1e-99 else "below 1e-99"


@dataclass(frozen=True)
class Alert:
    """A detected change.

    Attributes:
        kind: "skew" (the whole log against training data), "drift" (windows against earlier windows) or "quality"
            (predictions against labels that people gave later).
        signal: a key of `SIGNAL_NAMES`.
        since: start of the first changed window, UTC, ISO 8601; for skew, start of the log.
        until: start of the last changed window.
        windows: number of changed windows; for quality number of days, 0 for the whole log.
        distance: largest distance, see Comparison; for quality largest fall of the accuracy.
        threshold: see Comparison.
        p_value: smallest p-value; see Comparison.
        change: change with the largest distance in words, for instance "Sports: 92 % of answers, 25 % of test rows".
    """

    kind: str
    signal: str
    since: str
    until: str
    windows: int
    distance: float
    threshold: float
    p_value: float
    change: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Identifies the change across reports on the same log as it grows; one of the whole log is always the same."""
        return self.kind, self.signal, "" if self._whole_log else self.since

    @property
    def _whole_log(self) -> bool:
        return self.kind == SKEW or not self.windows

    def __str__(self) -> str:
        words = f"{self.change}; " if self.change else ""
        if self.kind == QUALITY:
            days = f"on {amount(self.windows, 'day')} from {self.since} to {self.until}"
            return (
                "the accuracy on labelled items is lower than on test rows "
                f"{'over the whole log' if self._whole_log else days}: {words}by {self.distance:.3f}, more than "
                f"{self.threshold:g}, p {readable_p(self.p_value)}"
            )
        period = (
            "over the whole log"
            if self._whole_log
            else f"from {readable_moment(self.since)} to {readable_moment(self.until)} UTC, "
            f"in {amount(self.windows, 'window')}"
        )
        return (
            f"{self.kind} of {SIGNALS[self.signal]} {period}: {words}distance {self.distance:.3f} "
            f"over {self.threshold:g}, p {readable_p(self.p_value)}"
        )


@dataclass(frozen=True)
class Proportion:
    """A share of correct predictions.

    Attributes:
        rows: number of items.
        correct: number of correctly classified items.
        low, high: Wilson's 95 % confidence interval of the share.
    """

    rows: int
    correct: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of correct predictions, 0 to 1."""
        return self.correct / self.rows

    def __str__(self) -> str:
        return f"{self.share:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class LabelledQuality:
    """Quality on the logged items that people have labelled.

    Attributes:
        accuracy: of all of them.
        recalls: of those of each class, by the name of the true class; classes without a labelled item are left out.
        days: of those of each day on which they were predicted, UTC, in order.
        confidence: their mean probability of the predicted class; far from the accuracy, the model is not calibrated.
        expected: accuracy of the version on test rows; None if unknown.
        p_value: probability of an accuracy so much lower than on test rows if nothing has changed; 1 if it is not
            lower by more than monitoring.max_accuracy_fall; None if `expected` is unknown.
        alert: whether the accuracy of the whole log is significantly lower.
        worse_days: p-value of each day on which it is.
    """

    accuracy: Proportion
    recalls: dict[str, Proportion]
    days: dict[str, Proportion]
    confidence: float
    expected: Proportion | None
    p_value: float | None
    alert: bool
    worse_days: dict[str, float]


@dataclass(frozen=True)
class Report:
    """The result of monitoring one model version.

    Attributes:
        model: name of the served model.
        version: the examined version.
        model_id: id of the model in the metadata store; None if unknown.
        made: creation time, UTC, ISO 8601.
        window_hours: length of a window.
        records: number of the version's logged requests.
        skipped: number of unused records by reason.
        rows: number of texts.
        sampling_rates: shares of requests that the servers logged.
        skew: comparisons of the whole log with training data.
        windows: all windows in order.
        alerts: detected changes in order; a lasting change is one alert.
        notes: comparisons that were not possible, with the reason.
        quality: quality on labelled items; None if no logged item has a label.
    """

    model: str
    version: int
    model_id: int | None
    made: str
    window_hours: int
    records: int
    skipped: dict[str, int]
    rows: int
    sampling_rates: tuple[float, ...]
    skew: tuple[Comparison, ...]
    windows: tuple[Window, ...]
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]
    quality: LabelledQuality | None = None

    def to_json(self) -> str:
        """Returns the report as JSON with the field names of these classes."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
