import os

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_model_analysis.utils import config_util

from components.evaluator.config import eval_config
from components.evaluator.report import OVERALL, read_report
from schema.features import CLASS_NAMES
from tests import direct_runner

THRESHOLDS = {"min_accuracy": 0.7, "min_label_recall": 0.6, "max_accuracy_drop": 0.02, "max_label_recall_drop": 0.1}


def test_the_configuration_is_one_that_tfma_accepts():
    config = eval_config(**THRESHOLDS)
    config_util.verify_eval_config(config)
    assert [dict(spec.feature_values) or list(spec.feature_keys) for spec in config.slicing_specs] == [
        [],
        ["label"],
        ["length_bucket"],
    ]


class Oracle(tf.Module):
    """Answers with the class that stands in the title: the test decides what it gets right."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def serve(self, inputs):
        titles = tf.io.parse_example(inputs, {"title": tf.io.FixedLenFeature([], tf.string)})["title"]
        chosen = tf.strings.to_number(titles, tf.int32)
        return {
            "scores": tf.one_hot(chosen, 4) * 0.9 + 0.025,
            "classes": tf.broadcast_to(tf.constant(CLASS_NAMES), [tf.size(titles), 4]),
        }


@pytest.fixture
def evaluate(tmp_path):
    """Evaluates answers `(label, answer)` as the Evaluator does; `before` are those of a baseline."""

    def save(name):
        oracle = Oracle()
        tf.saved_model.save(oracle, str(tmp_path / name), signatures={"serve_examples": oracle.serve})
        return str(tmp_path / name)

    def evaluate(answers, **thresholds):
        records = str(tmp_path / "examples.gz")
        with tf.io.TFRecordWriter(records, "GZIP") as writer:
            for index, (label, answer) in enumerate(answers):
                features = {
                    "title": tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(answer).encode()])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    "length_bucket": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[("short", "long")[index % 2].encode()])
                    ),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        config = config_util.update_eval_config_with_defaults(
            eval_config(**THRESHOLDS | thresholds), has_baseline=False, rubber_stamp=True
        )
        model = tfma.default_eval_shared_model(save("model"), eval_config=config)
        output = os.path.join(tmp_path, "evaluation")
        tfma.run_model_analysis(
            eval_config=config,
            eval_shared_model=model,
            data_location=records,
            file_format="tfrecords",
            output_path=output,
            pipeline_options=PipelineOptions(direct_runner.options()),
        )
        return read_report(output)

    return evaluate


def right(count):
    return [(label, label) for label in range(4) for _ in range(count)]


def test_metrics_are_reported_for_all_each_label_and_each_length(evaluate):
    report = evaluate([*right(10), (2, 3), (2, 3)])
    overall, business = report.metrics[OVERALL], report.metrics["label=Business"]
    assert overall["accuracy"] == pytest.approx(40 / 42)
    assert overall["example_count"] == 42
    assert business["accuracy"] == pytest.approx(10 / 12)
    assert overall["recall/Business"] == pytest.approx(10 / 12)
    assert overall["precision/Sci/Tech"] == pytest.approx(10 / 12)
    assert overall["f1/Sports"] == pytest.approx(1)
    assert overall["auc/Sports"] == pytest.approx(1, abs=1e-3)
    assert {"auc", "calibration", "calibration/World", "loss"} <= set(overall)
    assert {"length_bucket=short", "length_bucket=long"} <= set(report.metrics)
    assert report.baseline == {}
    assert report.failures == []


def test_a_missed_threshold_says_which_metric_on_which_slice_by_how_much(evaluate):
    report = evaluate([*right(10), *[(2, 3)] * 10])
    assert [str(failure) for failure in report.failures] == [
        "accuracy on label=Business is 0.5000, required is 0.6000: 0.1000 short"
    ]


def test_the_confusion_matrix_counts_rows(evaluate):
    report = evaluate([*right(10), (2, 3), (2, 3), (0, 1)])
    assert report.confusion == [[10, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 2], [0, 0, 0, 10]]
