"""Two models side by side: metrics with paired tests, what else differs, and the rows that they answer otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from components.model_card.predictions import Predictions
from components.model_card.rows import SLICES
from components.statistics import PairedTest, change_interval, mcnemar
from pipeline.review.evidence import Evidence, predictions_of
from schema.features import LABEL

_LEVEL = 0.05


@dataclass(frozen=True)
class SliceComparison:
    """Both models on the same rows of a slice.

    Attributes:
        name: of the slice.
        rows: that both answered.
        first: accuracy of the first model.
        second: accuracy of the second.
        low: lower bound of the change's 95 % interval.
        high: upper bound.
        test: McNemar's exact test.
        p_value: of that test, corrected for the number of slices (Holm 1979).
    """

    name: str
    rows: int
    first: float
    second: float
    low: float
    high: float
    test: PairedTest
    p_value: float

    @property
    def change(self) -> float:
        """Of the accuracy, from the first model to the second."""
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether chance explains the change in less than 5 of 100 such comparisons, all slices together."""
        return self.p_value < _LEVEL


@dataclass(frozen=True)
class ChangedAnswer:
    """A row that the two answer otherwise.

    Attributes:
        id: of the row.
        label: its true class.
        first: the first model's answer.
        second: the second's.
        probabilities: of both answers.
    """

    id: str
    label: str
    first: str
    second: str
    probabilities: tuple[float, float]

    @property
    def outcome(self) -> str:
        """What the change did."""
        if self.second == self.label:
            return "mended"
        return "broken" if self.first == self.label else "both wrong"


OUTCOMES = ("broken", "mended", "both wrong")


@dataclass(frozen=True)
class PairedAnswers:
    """The answers of two models to the rows that both were asked about.

    Attributes:
        slices: all rows first.
        changed: rows answered otherwise; the surest second answers first.
        only_first: test rows that the first model alone was asked about.
        only_second: the same of the second.
    """

    slices: tuple[SliceComparison, ...]
    changed: tuple[ChangedAnswer, ...]
    only_first: int
    only_second: int


@lru_cache(maxsize=16)
def compare_cards(first: str, second: str) -> PairedAnswers:
    """Pairs the answers that two cards kept; they do not change.

    Args:
        first: directory of the first model's ModelCard.
        second: of the second's.

    Raises:
        FileUnavailable: one has none.
    """
    return compare_answers(predictions_of(first), predictions_of(second))


def compare_answers(first: Predictions, second: Predictions) -> PairedAnswers:
    """Pairs the answers by the rows' ids; rows with the same text have the same id and count once."""
    ids, ours, theirs = np.intersect1d(first.ids.astype(str), second.ids.astype(str), return_indices=True)
    labels = first.labels[ours]
    right = first.answers[ours] == labels, second.answers[theirs] == second.labels[theirs]
    slices = _slices(labels, first.buckets[ours], *right) if len(ids) else ()
    differing = np.flatnonzero(first.answers[ours] != second.answers[theirs])
    surest = differing[np.argsort(-second.probabilities[theirs][differing], kind="stable")]
    changed = tuple(
        ChangedAnswer(
            str(ids[row]),
            labels[row],
            first.answers[ours[row]],
            second.answers[theirs[row]],
            (float(first.probabilities[ours[row]]), float(second.probabilities[theirs[row]])),
        )
        for row in surest
    )
    return PairedAnswers(slices, changed, len(np.unique(first.ids)) - len(ids), len(np.unique(second.ids)) - len(ids))


def _slices(
    labels: np.ndarray, buckets: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[SliceComparison, ...]:
    found = []
    for name in SLICES:
        column, _, value = name.partition("=")
        mask = np.full(len(labels), True) if not value else (labels if column == LABEL else buckets) == value
        if mask.any():
            found.append((name, first[mask], second[mask], mcnemar(first[mask], second[mask])))
    corrected = _holm([test.p_value for *_, test in found])
    return tuple(
        SliceComparison(
            name,
            len(ours),
            float(ours.mean()),
            float(theirs.mean()),
            *change_interval(ours, theirs),
            test,
            p_value,
        )
        for (name, ours, theirs, test), p_value in zip(found, corrected, strict=True)
    )


def _holm(p_values: list[float]) -> list[float]:
    """Each times the number of those not smaller, never below the one before it (Holm 1979)."""
    corrected, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = least
    return corrected


@dataclass(frozen=True)
class Difference:
    """A value that is not the same in both; a text each, None where there is none."""

    name: str
    first: str | None
    second: str | None


def changed_settings(first: Evidence, second: Evidence) -> list[Difference]:
    """Hyperparameters, preparation of the data, and thresholds that differ."""
    return _differences(_settings(first), _settings(second))


def changed_code(first: Evidence, second: Evidence) -> list[Difference]:
    """Revision, source of the stages and versions of packages that differ."""
    return _differences(_code(first), _code(second))


def changed_data(first: Evidence, second: Evidence) -> list[Difference]:
    """Source, span, counts, class balance, vocabulary and fingerprints that differ."""
    return _differences(_data(first), _data(second))


def _settings(evidence: Evidence) -> dict[str, Any]:
    training = evidence["training"]
    thresholds = {
        f"threshold: {'change of ' if one['against_baseline'] else ''}{one['metric']} on {one['slice']}": one["bound"]
        for one in evidence["verdicts"]["thresholds"]
    }
    network = {name: training[name] for name in ("architecture", "parameters") if name in training}
    return {**network, **training.get("hyperparameters", {}), **evidence["data"]["preparation"], **thresholds}


def _code(evidence: Evidence) -> dict[str, Any]:
    environment = evidence["environment"]
    revision = environment["revision"]
    stages = {f"source of {stage}": digest for stage, digest in evidence["lineage"]["code"].items()}
    return {
        "revision": revision.get("commit", "not known"),
        "uncommitted changes": revision.get("dirty", "not known"),
        **stages,
        **environment["versions"],
    }


def _data(evidence: Evidence) -> dict[str, Any]:
    data = evidence["data"]
    counts = ("rows_read", "rows_quarantined", "duplicates", "train_test_overlap")
    balance = {
        f"{split}: {name}": f"{count:,} ({count / max(1, rows['rows']):.1%})"
        for split, rows in data["splits"].items()
        for name, count in rows["by_class"].items()
    }
    return {
        "source": data["source"],
        "spans": data["spans"],
        **{name: f"{data[name]:,}" for name in counts},
        **{f"{split}: rows": f"{rows['rows']:,}" for split, rows in data["splits"].items()},
        **balance,
        "words in the vocabulary": f"{evidence['vocabulary']['words']:,}",
        "input files": data["input_fingerprint"],
        "SHA-256 of the written rows": data["examples"]["sha256"],
    }


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    return list(_differing(first, second))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*first, *second]):
        ours, theirs = (values.get(name) for values in (first, second))
        if ours != theirs:
            yield Difference(name.replace("_", " "), _text(ours), _text(theirs))


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)
