"""Reads back what the Evaluator found: metrics per slice, and which thresholds were missed by how much."""

from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.evaluator.config import CONFUSION_MATRIX
from schema.features import CLASS_NAMES, LABEL

OVERALL = "all"


@dataclass(frozen=True)
class ThresholdFailure:
    """A threshold that was missed. `change` tells a threshold against the baseline from an absolute one."""

    slice: str
    metric: str
    value: float
    bound: float
    change: bool

    def __str__(self) -> str:
        if self.change:
            return (
                f"{self.metric} on {self.slice} changed by {self.value:+.4f} against the baseline, "
                f"allowed is {self.bound:+.4f}: {self.bound - self.value:.4f} too much"
            )
        return (
            f"{self.metric} on {self.slice} is {self.value:.4f}, required is {self.bound:.4f}: "
            f"{self.bound - self.value:.4f} short"
        )


@dataclass(frozen=True)
class EvaluationReport:
    """What the Evaluator found.

    Attributes:
        metrics: by slice and name, for instance "label=Sports" and "accuracy".
        baseline: the same of the baseline; empty when there was none.
        confusion: test rows by true class, then by answered class.
        failures: the missed thresholds.
    """

    metrics: dict[str, dict[str, float]]
    baseline: dict[str, dict[str, float]]
    confusion: list[list[int]]
    failures: list[ThresholdFailure]


def read_report(evaluation_uri: str) -> EvaluationReport:
    """Reads an Evaluator's output directory.

    Args:
        evaluation_uri: the uri of a ModelEvaluation artifact.
    """
    validation = tfma.load_validation_result(evaluation_uri)
    candidate, baseline = tfma.load_eval_result(evaluation_uri), None
    # Only beside a baseline do the models have names.
    if len(candidate.config.model_specs) > 1:
        candidate = tfma.load_eval_result(evaluation_uri, model_name=tfma.CANDIDATE_KEY)
        baseline = tfma.load_eval_result(evaluation_uri, model_name=tfma.BASELINE_KEY)
    return EvaluationReport(
        metrics=_metrics(candidate),
        baseline=_metrics(baseline) if baseline else {},
        confusion=_confusion(candidate),
        failures=[
            _failure(_slice_name(slicer_lib.deserialize_slice_key(per_slice.slice_key)), failure)
            for per_slice in validation.metric_validations_per_slice
            for failure in per_slice.failures
        ],
    )


def _confusion(result: tfma.EvalResult) -> list[list[int]]:
    counts = [[0] * len(CLASS_NAMES) for _ in CLASS_NAMES]
    [overall] = [outputs for slice_key, outputs in result.slicing_metrics if not slice_key]
    [matrix] = overall[""][""][CONFUSION_MATRIX]["multiClassConfusionMatrixAtThresholds"]["matrices"]
    for entry in matrix["entries"]:
        # A class of number 0 is left out of the message.
        row, column = entry.get("actualClassId", 0), entry.get("predictedClassId", 0)
        counts[row][column] = round(entry["numWeightedExamples"])
    return counts


def _metrics(result: tfma.EvalResult) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for slice_key, outputs in result.slicing_metrics:
        values = table.setdefault(_slice_name(slice_key), {})
        for sub_key, metrics in outputs[""].items():
            for name, value in metrics.items():
                if "doubleValue" in value:
                    # TFMA puts "macro_average: true" and a line end before the name of an average over classes.
                    values[name.rpartition("\n_")[2] + _class_suffix(sub_key, name)] = float(value["doubleValue"])
    return table


def _class_suffix(sub_key: str, name: str) -> str:
    # TFMA prints the sub-key of a binarized metric as "classId:2", that of an aggregated one as "". Precision, recall
    # and F1 carry "classId:2 topK:1", and already have their class in their name.
    _, separator, class_id = sub_key.partition("classId:")
    return f"/{CLASS_NAMES[int(class_id.split()[0])]}" if separator and "/" not in name else ""


def _slice_name(slice_key: tuple) -> str:
    if not slice_key:
        return OVERALL
    return ", ".join(
        f"{column}={CLASS_NAMES[int(value)] if column == LABEL else _text(value)}" for column, value in slice_key
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _failure(slice_name: str, failure: validation_result_pb2.ValidationFailure) -> ThresholdFailure:
    threshold = failure.metric_threshold
    change = threshold.HasField("change_threshold")
    bound = threshold.change_threshold.absolute if change else threshold.value_threshold.lower_bound
    return ThresholdFailure(
        slice=slice_name,
        metric=failure.metric_key.name,
        value=failure.metric_value.double_value.value,
        bound=bound.value,
        change=change,
    )
