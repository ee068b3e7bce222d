"""Reads the Evaluator's output: metrics per slice, and the thresholds that the model missed."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.evaluator.config import CONFUSION_MATRIX, class_names
from components.evaluator.must_pass import RequiredAnswer, read_answers
from schema.data_set import AG_NEWS, LABEL, DataSet, describe_metric, describe_slice

OVERALL = "all"


@dataclass(frozen=True)
class ThresholdFailure:
    """A threshold that the model missed.

    Attributes:
        slice: name of the slice.
        metric: name of the metric.
        value: measured value; None if nothing could be measured, and `flaw` then gives the reason.
        bound: least allowed value or change.
        change: whether the bound applies to the change against the baseline.
    """

    slice: str
    metric: str
    value: float | None
    bound: float
    change: bool
    flaw: str = ""

    def __str__(self) -> str:
        figure = describe_metric(self.metric, self.slice)
        if self.value is None:
            allowed = f"allowed is a change of {self.bound:+.4f}" if self.change else f"required is {self.bound:.4f}"
            return f"{figure} has no value: {self.flaw}; {allowed}"
        if self.change:
            return (
                f"{figure} changed by {self.value:+.4f} against the baseline, "
                f"allowed is {self.bound:+.4f}: {self.bound - self.value:.4f} too much"
            )
        return f"{figure} is {self.value:.4f}, required is {self.bound:.4f}: {self.bound - self.value:.4f} short"


@dataclass(frozen=True)
class EvaluationReport:
    """The Evaluator's results.

    Attributes:
        metrics: value by slice and metric, for instance "label=Sports" and "accuracy".
        baseline: the same values of the baseline; empty without a baseline.
        confusion: number of test rows by true class, then by predicted class.
        failures: the missed thresholds.
        other_refusals: reasons for not blessing the model other than missed thresholds.
        class_names: names of the classes, in the order of `confusion`.
        must_pass: the answers to the texts that must be classified correctly.
    """

    metrics: dict[str, dict[str, float]]
    baseline: dict[str, dict[str, float]]
    confusion: list[list[int]]
    failures: list[ThresholdFailure]
    other_refusals: tuple[str, ...] = ()
    class_names: tuple[str, ...] = AG_NEWS.class_names
    must_pass: tuple[RequiredAnswer, ...] = ()

    @property
    def refusals(self) -> list[str]:
        """Returns the reasons for not blessing the model; empty if and only if the model was blessed."""
        wrong = (str(answer) for answer in self.must_pass if not answer.passed)
        return [*map(str, self.failures), *self.other_refusals, *wrong]

    def slices(self, data_set: DataSet) -> list[str]:
        """Returns the names of the slices with test rows: all rows, those of every data set, and those of its own."""
        known = (OVERALL, *data_set.slices)
        return [
            *(name for name in known if name in self.metrics),
            *sorted(name for name in self.metrics if name not in known),
        ]


def read_report(evaluation_uri: str) -> EvaluationReport:
    """Reads an Evaluator's output directory.

    Args:
        evaluation_uri: URI of a ModelEvaluation artifact.
    """
    validation = tfma.load_validation_result(evaluation_uri)
    candidate, baseline = tfma.load_eval_result(evaluation_uri), None
    # The models have names only if there is a baseline.
    if len(candidate.config.model_specs) > 1:
        candidate = tfma.load_eval_result(evaluation_uri, model_name=tfma.CANDIDATE_KEY)
        baseline = tfma.load_eval_result(evaluation_uri, model_name=tfma.BASELINE_KEY)
    failures, others = refusals_of(validation, candidate.config)
    names = class_names(candidate.config)
    return EvaluationReport(
        metrics=_metrics(candidate, names),
        baseline=_metrics(baseline, names) if baseline else {},
        confusion=_confusion(candidate, len(names)),
        class_names=names,
        failures=failures,
        other_refusals=tuple(others),
        must_pass=read_answers(evaluation_uri),
    )


def thresholds_of(config: config_pb2.EvalConfig) -> Iterator[tuple[str, str, bool, float]]:
    """Yields each threshold: slice, metric, whether it applies to the change against the baseline, and bound."""
    names = class_names(config)
    for metric in (metric for specs in config.metrics_specs for metric in specs.metrics):
        for per_slice in metric.per_slice_thresholds:
            name = json.loads(metric.config)["name"]
            absolute, change = per_slice.threshold.value_threshold, per_slice.threshold.change_threshold
            for spec in per_slice.slicing_specs:
                if absolute.HasField("lower_bound"):
                    yield _spec_name(spec, names), name, False, absolute.lower_bound.value
                if change.HasField("absolute"):
                    yield _spec_name(spec, names), name, True, change.absolute.value


def refusals_of(
    validation: validation_result_pb2.ValidationResult, config: config_pb2.EvalConfig
) -> tuple[list[ThresholdFailure], list[str]]:
    """Returns the reasons for not blessing a model: the missed thresholds, and all other reasons as sentences.

    TensorFlow Model Analysis reports slices without rows and metrics without a value apart from missed thresholds.

    Args:
        validation: the verdict.
        config: configuration with the thresholds.
    """
    names = class_names(config)
    failures: list[ThresholdFailure] = []
    others: list[str] = ["no threshold is set"] if validation.missing_thresholds else []
    for per_slice in validation.metric_validations_per_slice:
        if per_slice.HasField("cross_slice_key"):
            name = _one_line(per_slice.cross_slice_key)
        else:
            name = _slice_name(slicer_lib.deserialize_slice_key(per_slice.slice_key), names)
        for failure in per_slice.failures:
            threshold = failure.metric_threshold
            if threshold.value_threshold.HasField("lower_bound") or threshold.change_threshold.HasField("absolute"):
                failures.append(_failure(name, failure))
            else:
                value = failure.metric_value.double_value.value
                figure = describe_metric(failure.metric_key.name, name)
                others.append(f"{figure} is {value:.4f}, which misses {_one_line(threshold)}")
    absolute = {of_slice: (metric, bound) for of_slice, metric, change, bound in thresholds_of(config) if not change}
    for spec in validation.missing_slices:
        name = _spec_name(spec, names)
        if name in absolute:
            metric, bound = absolute[name]
            flaw = "no test row belongs to this slice"
            failures.append(ThresholdFailure(name, metric, None, bound, change=False, flaw=flaw))
        else:
            others.append(f"no test row belongs to {describe_slice(name)}, for which a threshold is set")
    others += [
        f"no test row belongs to the compared slices: {_one_line(spec)}" for spec in validation.missing_cross_slices
    ]
    if not (validation.validation_ok or failures or others):
        others.append("TensorFlow Model Analysis refused the model and gave no reason: see the log")
    return failures, others


def _one_line(message: Message) -> str:
    return text_format.MessageToString(message, as_one_line=True)


def _spec_name(spec: config_pb2.SlicingSpec, names: Sequence[str]) -> str:
    values = {key: names[int(value)] if key == LABEL else value for key, value in spec.feature_values.items()}
    return ", ".join(f"{key}={value}" for key, value in values.items()) or OVERALL


def _confusion(result: tfma.EvalResult, classes: int) -> list[list[int]]:
    counts = [[0] * classes for _ in range(classes)]
    [overall] = [outputs for slice_key, outputs in result.slicing_metrics if not slice_key]
    [matrix] = overall[""][""][CONFUSION_MATRIX]["multiClassConfusionMatrixAtThresholds"]["matrices"]
    for entry in matrix["entries"]:
        # The message omits a class whose number is 0.
        row, column = entry.get("actualClassId", 0), entry.get("predictedClassId", 0)
        counts[row][column] = round(entry["numWeightedExamples"])
    return counts


def _metrics(result: tfma.EvalResult, names: Sequence[str]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for slice_key, outputs in result.slicing_metrics:
        values = table.setdefault(_slice_name(slice_key, names), {})
        for sub_key, metrics in outputs[""].items():
            for name, value in metrics.items():
                if "doubleValue" in value:
                    # TFMA puts "macro_average: true" and a line end before the name of an average over classes.
                    values[name.rpartition("\n_")[2] + _class_suffix(sub_key, name, names)] = float(
                        value["doubleValue"]
                    )
    return table


def _class_suffix(sub_key: str, name: str, names: Sequence[str]) -> str:
    # TFMA prints the sub-key of a binarized metric as "classId:2" and that of an aggregated metric as "". Precision,
    # recall and F1 have the sub-key "classId:2 topK:1", and their names already contain the class.
    _, separator, class_id = sub_key.partition("classId:")
    return f"/{names[int(class_id.split()[0])]}" if separator and "/" not in name else ""


def _slice_name(slice_key: tuple, names: Sequence[str]) -> str:
    if not slice_key:
        return OVERALL
    return ", ".join(
        f"{column}={names[int(value)] if column == LABEL else _text(value)}" for column, value in slice_key
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _failure(slice_name: str, failure: validation_result_pb2.ValidationFailure) -> ThresholdFailure:
    threshold = failure.metric_threshold
    change = threshold.HasField("change_threshold")
    bound = threshold.change_threshold.absolute if change else threshold.value_threshold.lower_bound
    value = failure.metric_value.double_value.value if failure.HasField("metric_value") else None
    if value is None or math.isnan(value):
        value, flaw = None, failure.message.strip() or "it is not a number"
    else:
        flaw = ""
    return ThresholdFailure(
        slice=slice_name, metric=failure.metric_key.name, value=value, bound=bound.value, change=change, flaw=flaw
    )
