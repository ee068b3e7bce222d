"""The outcome of monitoring: what was seen, how far it is from what was before, and what is worth an alert."""

import json
from dataclasses import asdict, dataclass

from schema.features import LABEL, TEXT_LENGTH

CONFIDENCE, UNKNOWN_SHARE = "confidence", "unknown_share"
SIGNALS = {
    LABEL: "predicted class",
    CONFIDENCE: "confidence",
    TEXT_LENGTH: "text length",
    UNKNOWN_SHARE: "unknown words",
}
"""What is watched: the name of the column, and that for people."""

SKEW, DRIFT = "skew", "drift"
JSON_FILE = "monitoring.json"


@dataclass(frozen=True)
class Comparison:
    """One signal against what it was before.

    Attributes:
        signal: a key of `SIGNALS`.
        against: what it was compared with, in words.
        rows: texts of the log.
        reference_rows: texts or rows compared with.
        distance: of the predicted class the largest change of a class's share (L-infinity); of the others the
            Jensen-Shannon divergence, base 2. Both from 0 to 1, by TensorFlow Data Validation. None in a window in
            which no test speaks: it is not measured there.
        threshold: distance over which a change matters.
        p_value: probability of such a difference were nothing changed.
        alert: whether the change matters and is no chance.
    """

    signal: str
    against: str
    rows: int
    reference_rows: int
    distance: float | None
    threshold: float
    p_value: float
    alert: bool


@dataclass(frozen=True)
class Window:
    """The texts of some hours; times are UTC, ISO 8601.

    Attributes:
        start: its first moment.
        rows: texts.
        classes: share of each predicted class by its name.
        confidence: mean of the likeliest class's probability.
        text_length: mean, in characters.
        unknown_share: mean share of a text's tokens that the vocabulary lacks; None where the log does not say.
        drift: comparisons with the windows before; none where there are too few texts.
    """

    start: str
    rows: int
    classes: dict[str, float]
    confidence: float
    text_length: float
    unknown_share: float | None
    drift: tuple[Comparison, ...]


def readable_moment(moment: str) -> str:
    """A moment in ISO 8601, to the minute."""
    return moment[:16].replace("T", " ")


def readable_p(value: float) -> str:
    """A p-value, which can be smaller than a float holds."""
    return f"{value:.1e}" if value > 1e-99 else "below 1e-99"


@dataclass(frozen=True)
class Alert:
    """A change that somebody should know of.

    Attributes:
        kind: skew, of the whole log against training; or drift, of windows against those before.
        signal: a key of `SIGNALS`.
        since: start of the first window, UTC, ISO 8601; of skew, of the log.
        until: start of the last window.
        windows: in how many it was found.
        distance: the largest; see Comparison.
        threshold: see Comparison.
        p_value: the smallest.
    """

    kind: str
    signal: str
    since: str
    until: str
    windows: int
    distance: float
    threshold: float
    p_value: float

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for the same change in a later report on a longer log; a skew is one change for good."""
        return self.kind, self.signal, self.since if self.kind == DRIFT else ""

    def __str__(self) -> str:
        hours = (
            "over the whole log"
            if self.kind == SKEW
            else f"from {readable_moment(self.since)} to {readable_moment(self.until)} UTC, in {self.windows} windows"
        )
        return (
            f"{self.kind} of {SIGNALS[self.signal]} {hours}: distance {self.distance:.3f} over {self.threshold:g}, "
            f"p {readable_p(self.p_value)}"
        )


@dataclass(frozen=True)
class Report:
    """What monitoring found.

    Attributes:
        model: name that it is served by.
        version: the one version whose answers were looked at.
        model_id: in the metadata store; None when that is not known.
        made: when, UTC, ISO 8601.
        window_hours: length of a window.
        records: records of that version that were read.
        skipped: records that were not used, by reason.
        rows: texts.
        sampling_rates: shares of the requests that were logged.
        skew: the whole log against training.
        windows: in order.
        alerts: in order; a change that lasts is one.
        notes: what could not be compared, and why.
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

    def to_json(self) -> str:
        """All of it; the fields are those of these classes."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
