"""Builds the Evaluator's configuration: its metrics, its slices, and the thresholds for blessing a model."""

import json
from collections.abc import Mapping

from tensorflow_model_analysis.proto import config_pb2

from schema.data_set import LABEL, LENGTH_BUCKET, DataSet
from schema.errors import SettingsError
from schema.model_contract import SCORES, SERVE_EXAMPLES

ACCURACY = "accuracy"
CONFUSION_MATRIX = "confusion_matrix"


def eval_config(
    data_set: DataSet,
    *,
    min_accuracy: float,
    min_label_recall: float,
    max_accuracy_drop: float,
    max_label_recall_drop: float,
    min_slice_accuracy: Mapping[str, float] | None = None,
) -> config_pb2.EvalConfig:
    """Returns the TFMA configuration of the Evaluator.

    The recall of a class equals the accuracy on the slice of rows with that label. One metric therefore carries all
    thresholds: overall and per label, absolute and against the baseline. All thresholds are shares from 0 to 1.

    Args:
        data_set: the classes, and the columns of further slices.
        min_accuracy: lower bound of the accuracy over all rows.
        min_label_recall: lower bound of each class's recall.
        max_accuracy_drop: allowed loss of accuracy against the baseline.
        max_label_recall_drop: allowed loss of a class's recall against the baseline.
        min_slice_accuracy: lower bound of the accuracy on further slices, by "COLUMN=VALUE".

    Raises:
        SettingsError: `min_slice_accuracy` names no slice.
    """
    overall = config_pb2.SlicingSpec()
    per_label = config_pb2.SlicingSpec(feature_keys=[LABEL])
    columns = (LENGTH_BUCKET, *data_set.kept_columns)
    accuracy = _metric(
        "SparseCategoricalAccuracy",
        name=ACCURACY,
        per_slice_thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[overall], threshold=_at_least(min_accuracy, drop=max_accuracy_drop)
            ),
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[
                    config_pb2.SlicingSpec(feature_values={LABEL: str(label)})
                    for label in range(len(data_set.class_names))
                ],
                threshold=_at_least(min_label_recall, drop=max_label_recall_drop),
            ),
            *(
                config_pb2.PerSliceMetricThreshold(
                    slicing_specs=[_slice_of_column(name, columns)],
                    threshold=config_pb2.MetricThreshold(value_threshold=_lower_bound(bound)),
                )
                for name, bound in (min_slice_accuracy or {}).items()
            ),
        ],
    )
    # Count the most likely class (top_k) instead of every class with a probability above one half.
    per_class = [
        _metric(metric, name=f"{metric.removesuffix('Score').lower()}/{name}", class_id=label, top_k=1)
        for metric in ("Precision", "Recall", "F1Score")
        for label, name in enumerate(data_set.class_names)
    ]
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name=SERVE_EXAMPLES, label_key=LABEL, prediction_key=SCORES)],
        slicing_specs=[
            overall,
            per_label,
            *(config_pb2.SlicingSpec(feature_keys=[column]) for column in columns),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    accuracy,
                    *per_class,
                    _metric("SparseCategoricalCrossentropy", name="loss"),
                    _metric("MultiClassConfusionMatrixAtThresholds", name=CONFUSION_MATRIX, thresholds=[0.0]),
                    _metric("ExampleCount", name="example_count"),
                ]
            ),
            # Compares one class with the rest; the macro average has no class of its own.
            config_pb2.MetricsSpec(
                metrics=[_metric("AUC", name="auc")],
                binarize=config_pb2.BinarizationOptions(class_ids={"values": range(len(data_set.class_names))}),
                aggregate=config_pb2.AggregationOptions(
                    macro_average=True, class_weights=dict.fromkeys(range(len(data_set.class_names)), 1.0)
                ),
            ),
        ],
    )


def _metric(class_name: str, *, per_slice_thresholds=(), **config) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(
        class_name=class_name, config=json.dumps(config), per_slice_thresholds=per_slice_thresholds
    )


def _slice_of_column(name: str, columns: tuple[str, ...]) -> config_pb2.SlicingSpec:
    column, _, value = name.partition("=")
    if column not in columns or not value:
        raise SettingsError(
            f"evaluator.min_slice_accuracy {name}: expected COLUMN=VALUE, the columns are {', '.join(columns)}; for "
            "another one, add a feature to the schema (data.schema_file)"
        )
    return config_pb2.SlicingSpec(feature_values={column: value})


def _lower_bound(bound: float) -> config_pb2.GenericValueThreshold:
    return config_pb2.GenericValueThreshold(lower_bound={"value": bound})


def _at_least(bound: float, *, drop: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(
        value_threshold=_lower_bound(bound),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -drop}
        ),
    )


def class_names(config: config_pb2.EvalConfig) -> tuple[str, ...]:
    """Returns the class names in a configuration of `eval_config`, in the order of the labels."""
    metrics = [json.loads(metric.config) for specs in config.metrics_specs for metric in specs.metrics if metric.config]
    names = {metric["class_id"]: metric["name"].partition("/")[2] for metric in metrics if "class_id" in metric}
    return tuple(names[label] for label in sorted(names))
