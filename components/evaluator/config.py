"""Builds the Evaluator's configuration: its metrics, its slices, and the thresholds for blessing a model."""

import json

from tensorflow_model_analysis.proto import config_pb2

from schema.features import CLASS_NAMES, LABEL, LENGTH_BUCKET
from schema.model_contract import SCORES, SERVE_EXAMPLES

ACCURACY = "accuracy"
CONFUSION_MATRIX = "confusion_matrix"


def eval_config(
    *, min_accuracy: float, min_label_recall: float, max_accuracy_drop: float, max_label_recall_drop: float
) -> config_pb2.EvalConfig:
    """Returns the TFMA configuration of the Evaluator.

    The recall of a class equals the accuracy on the slice of rows with that label. One metric therefore carries all
    thresholds: overall and per label, absolute and against the baseline. All thresholds are shares from 0 to 1.

    Args:
        min_accuracy: lower bound of the accuracy over all rows.
        min_label_recall: lower bound of each class's recall.
        max_accuracy_drop: allowed loss of accuracy against the baseline.
        max_label_recall_drop: allowed loss of a class's recall against the baseline.
    """
    overall = config_pb2.SlicingSpec()
    per_label = config_pb2.SlicingSpec(feature_keys=[LABEL])
    per_length = config_pb2.SlicingSpec(feature_keys=[LENGTH_BUCKET])
    accuracy = _metric(
        "SparseCategoricalAccuracy",
        name=ACCURACY,
        per_slice_thresholds=[
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[overall], threshold=_at_least(min_accuracy, drop=max_accuracy_drop)
            ),
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[
                    config_pb2.SlicingSpec(feature_values={LABEL: str(label)}) for label in range(len(CLASS_NAMES))
                ],
                threshold=_at_least(min_label_recall, drop=max_label_recall_drop),
            ),
        ],
    )
    # Count the most likely class (top_k) instead of every class with a probability above one half.
    per_class = [
        _metric(metric, name=f"{metric.removesuffix('Score').lower()}/{name}", class_id=label, top_k=1)
        for metric in ("Precision", "Recall", "F1Score")
        for label, name in enumerate(CLASS_NAMES)
    ]
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name=SERVE_EXAMPLES, label_key=LABEL, prediction_key=SCORES)],
        slicing_specs=[overall, per_label, per_length],
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
                binarize=config_pb2.BinarizationOptions(class_ids={"values": range(len(CLASS_NAMES))}),
                aggregate=config_pb2.AggregationOptions(
                    macro_average=True, class_weights=dict.fromkeys(range(len(CLASS_NAMES)), 1.0)
                ),
            ),
        ],
    )


def _metric(class_name: str, *, per_slice_thresholds=(), **config) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(
        class_name=class_name, config=json.dumps(config), per_slice_thresholds=per_slice_thresholds
    )


def _at_least(bound: float, *, drop: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": bound}),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -drop}
        ),
    )
