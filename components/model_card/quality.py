"""The quality of the model: the Evaluator's metrics with intervals, its verdicts, wrong answers, and calibration."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import Artifact

from components.evaluator.config import ACCURACY
from components.evaluator.must_pass import RequiredAnswer
from components.evaluator.report import OVERALL, EvaluationReport, thresholds_of
from components.model_card.evidence import NotAvailable, Share
from components.model_card.rows import TestRows
from components.model_card.training import Training
from components.trainer.calibration import expected_calibration_error
from schema.data_set import AG_NEWS, SOURCE_ID, DataSet

_OF_SLICES = (ACCURACY, "example_count")
_BLESSED, _REASON = "blessed", "reason"
_BINS = 15


@dataclass(frozen=True)
class SliceQuality:
    """Accuracy on a slice of the test rows, and the baseline's accuracy on it if there is a baseline."""

    rows: int
    accuracy: Share
    baseline: float | None


@dataclass(frozen=True)
class ClassQuality:
    """Metrics of one class against the others, over all test rows."""

    precision: Share
    recall: Share
    f1: float
    auc: float


@dataclass(frozen=True)
class Quality:
    """The Evaluator's results.

    Attributes:
        slices: accuracy of each slice, by name.
        classes: metrics of each class, by name.
        overall: the Evaluator's other metrics over all test rows, by name.
        confusion: number of test rows by true class, then by predicted class.
        repeated_accuracy: accuracy over all test rows, from the card's own predictions.
    """

    slices: dict[str, SliceQuality]
    classes: dict[str, ClassQuality]
    overall: dict[str, float]
    confusion: list[list[int]]
    repeated_accuracy: float


@dataclass(frozen=True)
class Threshold:
    """A threshold of the Evaluator and the measured value.

    Attributes:
        slice: name of the slice.
        metric: name of the metric.
        against_baseline: whether the bound applies to the change against the baseline.
        bound: least allowed value or change.
        value: measured value.
        passed: the Evaluator's verdict.
    """

    slice: str
    metric: str
    against_baseline: bool
    bound: float
    value: float
    passed: bool


@dataclass(frozen=True)
class Verdicts:
    """Whether the model may go into production.

    Attributes:
        thresholds: all thresholds that were checked.
        blessed: the Evaluator's verdict.
        reasons: why the Evaluator did not bless the model.
        infra_blessed: the InfraValidator's verdict.
        infra_reason: why the InfraValidator refused the model; empty if it gave no reason.
        must_pass: the answers to the texts that must be classified correctly.
    """

    thresholds: tuple[Threshold, ...]
    blessed: bool
    reasons: tuple[str, ...]
    infra_blessed: bool
    infra_reason: str
    must_pass: tuple[RequiredAnswer, ...] = ()


@dataclass(frozen=True)
class WrongAnswer:
    """A test row that the model classified incorrectly, with the model's confidence.

    The id is that of the files, if the data set has ids.
    """

    id: str
    title: str
    description: str
    true_class: str
    answer: str
    probability: float


def describe_quality(report: EvaluationReport, correct: np.ndarray, data_set: DataSet = AG_NEWS) -> Quality:
    """Adds intervals to the Evaluator's report.

    Args:
        report: report read from the ModelEvaluation.
        data_set: classes and length buckets.
        correct: bool [test rows], whether the card's own prediction for each row is correct.
    """
    confusion = np.array(report.confusion)
    overall = report.metrics[OVERALL]
    return Quality(
        slices={name: _slice(report, name) for name in report.slices(data_set)},
        classes={
            name: ClassQuality(
                precision=Share.of(int(confusion[label, label]), int(confusion[:, label].sum())),
                recall=Share.of(int(confusion[label, label]), int(confusion[label].sum())),
                f1=overall[f"f1/{name}"],
                auc=overall[f"auc/{name}"],
            )
            for label, name in enumerate(data_set.class_names)
        },
        overall={name: value for name, value in sorted(overall.items()) if _is_other_metric(name)},
        confusion=report.confusion,
        repeated_accuracy=float(correct.mean()),
    )


def _is_other_metric(name: str) -> bool:
    # The Evaluator adds changes against the baseline (_diff), which the card's paired comparison gives with a test.
    return "/" not in name and name not in _OF_SLICES and not name.endswith("_diff")


def _slice(report: EvaluationReport, name: str) -> SliceQuality:
    values = report.metrics[name]
    rows = round(values["example_count"])
    accuracy = Share.of(round(values[ACCURACY] * rows), rows)
    return SliceQuality(rows, accuracy, report.baseline.get(name, {}).get(ACCURACY))


def describe_verdicts(
    evaluation_uri: str, report: EvaluationReport, blessing: Artifact, infra_blessing: Artifact
) -> Verdicts:
    """Reads both blessings and every threshold that the Evaluator checked, whether passed or missed."""
    failed = {(failure.slice, failure.metric, failure.change) for failure in report.failures}
    return Verdicts(
        tuple(
            Threshold(*key, bound, value, passed=key not in failed)
            for key, bound, value in _bounds(tfma.load_eval_result(evaluation_uri).config, report)
        ),
        blessed=blessing.get_int_custom_property(_BLESSED) == 1,
        reasons=tuple(report.refusals),
        infra_blessed=infra_blessing.get_int_custom_property(_BLESSED) == 1,
        infra_reason=infra_blessing.get_string_custom_property(_REASON),
        must_pass=report.must_pass,
    )


def _bounds(
    config: config_pb2.EvalConfig, report: EvaluationReport
) -> Iterator[tuple[tuple[str, str, bool], float, float]]:
    """Yields each threshold as (slice, metric, whether it applies to the change), its bound, and the measured value."""
    for of_slice, name, change, bound in thresholds_of(config):
        # A slice without test rows has no value; without a baseline the Evaluator drops the thresholds of changes.
        if of_slice in report.metrics and not (change and of_slice not in report.baseline):
            value = report.metrics[of_slice][name]
            yield (of_slice, name, change), bound, value - report.baseline[of_slice][name] if change else value


def worst_errors(rows: TestRows, probabilities: np.ndarray, count: int) -> tuple[WrongAnswer, ...]:
    """Returns the wrong answers with the highest confidence, highest first; ties keep the order of the rows.

    Args:
        rows: the test rows.
        probabilities: float [rows, classes].
        count: maximum number of answers.
    """
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != rows.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return tuple(
        WrongAnswer(
            rows.columns.get(SOURCE_ID, rows.ids)[row] or rows.ids[row],
            rows.texts.titles[row],
            rows.texts.descriptions[row],
            rows.data_set.class_names[rows.labels[row]],
            rows.data_set.class_names[answers[row]],
            float(confidence[row]),
        )
        for row in surest
    )


@dataclass(frozen=True)
class Bin:
    """Test rows of similar confidence: their number, mean confidence, and accuracy."""

    rows: int
    confidence: float
    accuracy: Share


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram of the test rows (Guo et al. 2017, arXiv 1706.04599).

    Attributes:
        bins: the non-empty ones of 15 bins of equal width, by rising confidence.
        error: expected calibration error of the served probabilities.
        error_before: the same error without dividing the logits by the temperature.
        temperature: temperature learned on val, or 1.
        not_calibrated: why the temperature is 1 instead of one learned on val; None if it was learned.
    """

    bins: tuple[Bin, ...]
    error: float
    error_before: float | NotAvailable
    temperature: float | NotAvailable
    not_calibrated: str | None = None


def describe_calibration(
    probabilities: np.ndarray, labels: np.ndarray, training: Training | NotAvailable
) -> Calibration:
    """Bins the test rows by confidence.

    Args:
        probabilities: float [rows, classes], as served.
        labels: int [rows].
        training: facts of the training, which include the temperature.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    numbers = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins = []
    for number in np.unique(numbers):
        mask = numbers == number
        rows = int(mask.sum())
        bins.append(Bin(rows, float(confidence[mask].mean()), Share.of(int(correct[mask].sum()), rows)))
    error = expected_calibration_error(probabilities, labels)
    if isinstance(training, NotAvailable):
        return Calibration(tuple(bins), error, training, training)
    before = expected_calibration_error(without_temperature(probabilities, training.temperature), labels)
    return Calibration(tuple(bins), error, before, training.temperature, training.not_calibrated)


def without_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Computes softmax(logits) from softmax(logits / temperature), as powers that are normalized to sum to one.

    Args:
        probabilities: float [rows, classes].
        temperature: divisor of the logits.
    """
    tiny = np.finfo(np.float64).tiny
    powers = np.maximum(probabilities, tiny) ** temperature
    return powers / powers.sum(axis=1, keepdims=True)
