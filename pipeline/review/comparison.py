"""Compares two models: accuracy with paired tests, changed settings, code and data, and changed predictions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from components.evaluator.report import OVERALL
from components.model_card.predictions import Predictions
from components.statistics import PairedTest, bonferroni, exact_change_interval, mcnemar
from pipeline.review.evidence import Evidence, predictions_of
from schema.data_set import AG_NEWS, LABEL, LENGTH_BUCKET, SOURCE_ID, describe_metric

_LEVEL = 0.05


@dataclass(frozen=True)
class SliceComparison:
    """The accuracy of both models on the same rows of a slice.

    Attributes:
        name: name of the slice.
        rows: number of rows that both models classified.
        first: accuracy of the first model.
        second: accuracy of the second model.
        low: lower bound of the change's interval; all intervals hold together with 95 % confidence.
        high: upper bound of that interval.
        test: McNemar's exact test.
        p_value: p-value of that test, corrected for the number of slices (Dunn 1961).
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
        """Change of the accuracy from the first model to the second."""
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.p_value < _LEVEL


@dataclass(frozen=True)
class ChangedPrediction:
    """A row for which the two models predict different classes.

    Attributes:
        id: id of the row.
        label: true class.
        first: the first model's prediction.
        second: the second model's prediction.
        probabilities: probabilities of both predictions.
        source_id: id of the row in the files; empty if they have none.
    """

    id: str
    label: str
    first: str
    second: str
    probabilities: tuple[float, float]
    source_id: str = ""

    @property
    def outcome(self) -> str:
        """Effect of the change: one of OUTCOMES."""
        if self.second == self.label:
            return "fixed"
        return "broken" if self.first == self.label else "both wrong"


OUTCOMES = ("broken", "fixed", "both wrong")


@dataclass(frozen=True)
class PairedPredictions:
    """The predictions of two models for the same rows.

    Attributes:
        slices: comparison by slice, all rows first.
        changed: rows with different predictions, by the second model's probability in descending order.
        only_first: number of test rows that only the first model classified.
        only_second: number of test rows that only the second model classified.
    """

    slices: tuple[SliceComparison, ...]
    changed: tuple[ChangedPrediction, ...]
    only_first: int
    only_second: int


@lru_cache(maxsize=16)
def compare_cards(first: str, second: str) -> PairedPredictions:
    """Compares the predictions stored with two model cards; the result is cached.

    Args:
        first: directory of the first model's ModelCard.
        second: directory of the second model's ModelCard.

    Raises:
        FileUnavailable: a card has no predictions.
    """
    return compare_predictions(predictions_of(first), predictions_of(second))


def compare_predictions(first: Predictions, second: Predictions) -> PairedPredictions:
    """Compares predictions paired by row id; rows with the same text have the same id and count once."""
    ids, ours, theirs = np.intersect1d(first.ids.astype(str), second.ids.astype(str), return_indices=True)
    labels = first.labels[ours]
    right = first.answers[ours] == labels, second.answers[theirs] == second.labels[theirs]
    # Both models classified the same rows, so the second one's columns also apply to the first one.
    columns = {name: values[theirs] for name, values in second.columns.items()}
    source_ids = columns.pop(SOURCE_ID, np.full(len(ids), ""))
    columns = {LABEL: labels, LENGTH_BUCKET: first.buckets[ours], **columns}
    slices = _slices(columns, *right) if len(ids) else ()
    differing = np.flatnonzero(first.answers[ours] != second.answers[theirs])
    by_probability = differing[np.argsort(-second.probabilities[theirs][differing], kind="stable")]
    changed = tuple(
        ChangedPrediction(
            str(ids[row]),
            labels[row],
            first.answers[ours[row]],
            second.answers[theirs[row]],
            (float(first.probabilities[ours[row]]), float(second.probabilities[theirs[row]])),
            source_ids[row],
        )
        for row in by_probability
    )
    return PairedPredictions(
        slices, changed, len(np.unique(first.ids)) - len(ids), len(np.unique(second.ids)) - len(ids)
    )


def _slices(columns: Mapping[str, np.ndarray], first: np.ndarray, second: np.ndarray) -> tuple[SliceComparison, ...]:
    found = []
    # Classes and buckets of the default data set in their order, then others.
    names = {f"{column}={value}" for column, values in columns.items() for value in set(values)}
    known = [name for name in AG_NEWS.slices if name in names]
    for name in (OVERALL, *known, *sorted(names - set(known))):
        column, _, value = name.partition("=")
        mask = columns[column] == value if value else np.full(len(first), True)
        if mask.any():
            found.append((name, first[mask], second[mask], mcnemar(first[mask], second[mask])))
    corrected = bonferroni([test.p_value for *_, test in found])
    return tuple(
        SliceComparison(
            name,
            len(ours),
            float(ours.mean()),
            float(theirs.mean()),
            *exact_change_interval(test, len(ours), 1 - _LEVEL / len(found)),
            test,
            p_value,
        )
        for (name, ours, theirs, test), p_value in zip(found, corrected, strict=True)
    )


@dataclass(frozen=True)
class ChangedValue:
    """A value that differs between two models.

    Attributes:
        name: name of the value.
        first: the first model's value; None if it has none.
        second: the second model's value; None if it has none.
    """

    name: str
    first: str | None
    second: str | None


def find_changes(
    first: Evidence, second: Evidence, approvals: tuple[bool | None, bool | None]
) -> dict[str, list[ChangedValue] | list[list[str]]]:
    """Returns the changed `settings`, `code` and `data`, and the `unapplied` thresholds of each model.

    The arguments are those of `changed_settings`.
    """
    return {
        "settings": changed_settings(first, second, approvals),
        "unapplied": [unapplied_thresholds(one, (first, second)) for one in (first, second)],
        "code": changed_code(first, second),
        "data": changed_data(first, second),
    }


def changed_settings(
    first: Evidence, second: Evidence, approvals: tuple[bool | None, bool | None] = (None, None)
) -> list[ChangedValue]:
    """Returns hyperparameters, data preparation settings, thresholds and the approval rule that differ.

    Leaves out the thresholds that `unapplied_thresholds` returns: the evidence of a model without a baseline does not
    contain them, although the setting was the same.

    Args:
        first: evidence of the first model.
        second: evidence of the second model.
        approvals: whether each model needed an approval; None if unknown.
    """
    unapplied = {name for model in (first, second) for name in unapplied_thresholds(model, (first, second))}
    known = approvals if None not in approvals else (None, None)
    ours, theirs = (
        {name: value for name, value in _settings(model).items() if name not in unapplied}
        | {"require_approval": None if required is None else str(required).lower()}
        for model, required in zip((first, second), known, strict=True)
    )
    return _differences(ours, theirs)


def settings_of_model(model: Evidence) -> dict[str, str]:
    """Returns the hyperparameters, data preparation settings and thresholds of a model as texts, by name."""
    return {name: text for name, value in _settings(model).items() if (text := _text(value)) is not None}


def varying_settings(models: Sequence[Mapping[str, str]]) -> list[str]:
    """Returns the names of the settings that are not the same in all models."""
    names = dict.fromkeys(name for model in models for name in model)
    return [name for name in names if len({model.get(name) for model in models}) > 1]


def unapplied_thresholds(model: Evidence, compared: tuple[Evidence, Evidence]) -> list[str]:
    """Returns the thresholds against a baseline that were not applied to a model because it had no baseline.

    Args:
        model: evidence of the model.
        compared: evidence of both models; their thresholds are searched.
    """
    if "not_available" not in model["baseline"]:
        return []
    return [name for one in compared for name in _thresholds(one, against_baseline=True)]


def changed_code(first: Evidence, second: Evidence) -> list[ChangedValue]:
    """Returns the revision, stage sources and package versions that differ."""
    return _differences(_code(first), _code(second))


def changed_data(first: Evidence, second: Evidence) -> list[ChangedValue]:
    """Returns the source, spans, counts, class balance, vocabulary and SHA-256 of the rows that differ."""
    return _differences(_data(first), _data(second))


def _settings(evidence: Evidence) -> dict[str, Any]:
    training = evidence["training"]
    applied = {**_thresholds(evidence, against_baseline=False), **_thresholds(evidence, against_baseline=True)}
    network = {name: training[name] for name in ("architecture", "parameters") if name in training}
    return {**network, **training.get("hyperparameters", {}), **evidence["data"]["preparation"], **applied}


def _thresholds(evidence: Evidence, *, against_baseline: bool) -> dict[str, float]:
    return {
        f"threshold: {describe_metric(one['metric'], one['slice'], against_baseline)}": one["bound"]
        for one in evidence["verdicts"]["thresholds"]
        if one["against_baseline"] == against_baseline
    }


def _code(evidence: Evidence) -> dict[str, Any]:
    environment = evidence["environment"]
    revision = environment["revision"]
    stages = {f"source of {stage}": digest for stage, digest in evidence["lineage"]["code"].items()}
    return {
        "revision": revision.get("commit", "unknown"),
        "uncommitted changes": revision.get("dirty", "unknown"),
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
        "SHA-256 of the written rows": data["examples"]["sha256"],
    }


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[ChangedValue]:
    return list(_differing(first, second))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[ChangedValue]:
    for name in dict.fromkeys([*first, *second]):
        ours, theirs = (values.get(name) for values in (first, second))
        if ours != theirs:
            yield ChangedValue(name.replace("_", " "), _text(ours), _text(theirs))


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)
