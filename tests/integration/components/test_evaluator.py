import dataclasses
import os

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_model_analysis.proto.validation_result_pb2 import ValidationFailure, ValidationResult
from tensorflow_model_analysis.utils import config_util
from tfx.types import Channel, artifact_utils, standard_artifacts

from components.evaluator.component import AgNewsEvaluator, EvaluatorExecutor
from components.evaluator.config import eval_config
from components.evaluator.report import OVERALL, read_report, refusals_of
from components.manifest import record_files
from schema.data_set import AG_NEWS
from schema.errors import SettingsError
from schema.features import CLASS_NAMES
from tests.support import direct_runner

THRESHOLDS = {"min_accuracy": 0.7, "min_label_recall": 0.6, "max_accuracy_drop": 0.02, "max_label_recall_drop": 0.1}


def test_the_configuration_is_one_that_tfma_accepts():
    config = eval_config(AG_NEWS, **THRESHOLDS)
    config_util.verify_eval_config(config)
    assert [dict(spec.feature_values) or list(spec.feature_keys) for spec in config.slicing_specs] == [
        [],
        ["label"],
        ["length_bucket"],
    ]


class Oracle(tf.Module):
    """Answers with the class in the title, so that the test decides which answers are correct."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def serve(self, inputs):
        titles = tf.io.parse_example(inputs, {"title": tf.io.FixedLenFeature([], tf.string)})["title"]
        chosen = tf.strings.to_number(titles, tf.int32)
        return {
            "scores": tf.one_hot(chosen, 4) * 0.9 + 0.025,
            "classes": tf.broadcast_to(tf.constant(CLASS_NAMES), [tf.size(titles), 4]),
        }


def save_oracle(directory):
    oracle = Oracle()
    tf.saved_model.save(oracle, directory, signatures={"serve_examples": oracle.serve})
    return directory


def write_examples(file, answers):
    with tf.io.TFRecordWriter(file, "GZIP") as writer:
        for index, (label, answer) in enumerate(answers):
            texts = {"title": str(answer), "length_bucket": ("short", "long")[index % 2], "desk": f"Büro {index % 2}"}
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
                for name, text in texts.items()
            } | {"label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


@pytest.fixture
def evaluate(tmp_path):
    """Evaluates answers `(label, answer)` as the Evaluator does; `before` has the answers of a baseline."""

    def evaluate(answers, data_set=AG_NEWS, **thresholds):
        records = str(tmp_path / "examples.gz")
        write_examples(records, answers)
        config = config_util.update_eval_config_with_defaults(
            eval_config(data_set, **THRESHOLDS | thresholds), has_baseline=False, rubber_stamp=True
        )
        model = tfma.default_eval_shared_model(save_oracle(str(tmp_path / "model")), eval_config=config)
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
    assert {"auc", "auc/World", "loss"} <= set(overall)
    # The mean probability over the mean of the labels is 1 for every softmax with a bias.
    assert not [name for name in overall if name.startswith("calibration")]
    assert {"length_bucket=short", "length_bucket=long"} <= set(report.metrics)
    assert report.baseline == {}
    assert report.failures == []


def test_a_missed_threshold_says_which_metric_on_which_slice_by_how_much(evaluate):
    report = evaluate([*right(10), *[(2, 3)] * 10])
    assert [str(failure) for failure in report.failures] == [
        "recall of Business is 0.5000, required is 0.6000: 0.1000 short"
    ]


def test_columns_of_the_user_are_slices_with_thresholds(evaluate):
    data_set = dataclasses.replace(AG_NEWS, kept_columns=("desk",))
    answers = [*right(10), *[(0, 0), (0, 1)] * 5]
    report = evaluate(answers, data_set, min_slice_accuracy={"desk=Büro 1": 0.9, "desk=Büro 0": 0.9, "desk=Web": 0.5})
    assert report.slices(data_set)[-2:] == ["desk=Büro 0", "desk=Büro 1"]
    assert [str(failure) for failure in report.failures] == [
        "accuracy on desk=Büro 1 is 0.8000, required is 0.9000: 0.1000 short",
        "accuracy on desk=Web has no value: no test row belongs to this slice; required is 0.5000",
    ]


@pytest.mark.parametrize("name", ["desk=a", "length_bucket", "label=World"])
def test_a_threshold_of_an_unknown_slice_is_refused(name):
    with pytest.raises(SettingsError, match=f"min_slice_accuracy {name}: expected COLUMN=VALUE"):
        eval_config(AG_NEWS, **THRESHOLDS, min_slice_accuracy={name: 0.5})


def test_the_confusion_matrix_counts_rows(evaluate):
    report = evaluate([*right(10), (2, 3), (2, 3), (0, 1)])
    assert report.confusion == [[10, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 2], [0, 0, 0, 10]]


def test_a_class_without_test_rows_is_named_with_its_threshold(evaluate):
    report = evaluate([(label, label) for label in range(3) for _ in range(10)])
    assert [str(failure) for failure in report.failures] == [
        "recall of Sci/Tech has no value: no test row belongs to this slice; required is 0.6000"
    ]
    assert report.refusals == [str(failure) for failure in report.failures]


def refusals(text):
    failures, others = refusals_of(text_format.Parse(text, ValidationResult()), eval_config(AG_NEWS, **THRESHOLDS))
    return [*map(str, failures), *others]


SLICE = 'slice_key { single_slice_keys { column: "label" int64_value: 1 } }'
THRESHOLD = "metric_threshold { value_threshold { %s { value: 0.6 } } }"
FAILURE = 'failures { metric_key { name: "accuracy" } %s }'


@pytest.mark.parametrize(
    ("validation", "reasons"),
    [
        ("validation_ok: true", []),
        ("", ["TensorFlow Model Analysis refused the model and gave no reason: see the log"]),
        ("missing_thresholds: true", ["no threshold is set"]),
        ("missing_slices {}", ["accuracy has no value: no test row belongs to this slice; required is 0.7000"]),
        (
            'missing_slices { feature_values { key: "length_bucket" value: "long" } }',
            ["no test row belongs to long texts, for which a threshold is set"],
        ),
        (
            "missing_cross_slices { baseline_spec {} }",
            ["no test row belongs to the compared slices: baseline_spec { }"],
        ),
        (
            f"metric_validations_per_slice {{ {SLICE} {FAILURE} }}"
            % 'metric_threshold { value_threshold { lower_bound { value: 0.6 } } } message: "Metric not found."',
            ["recall of Sports has no value: Metric not found.; required is 0.6000"],
        ),
        (
            f"metric_validations_per_slice {{ {SLICE} {FAILURE} }}"
            % f"metric_value {{ double_value {{ value: nan }} }} {THRESHOLD % 'lower_bound'}",
            ["recall of Sports has no value: it is not a number; required is 0.6000"],
        ),
        (
            f"metric_validations_per_slice {{ {SLICE} {FAILURE} }}"
            % f"metric_value {{ double_value {{ value: 0.9 }} }} {THRESHOLD % 'upper_bound'}",
            ["recall of Sports is 0.9000, which misses value_threshold { upper_bound { value: 0.6 } }"],
        ),
    ],
)
def test_every_way_to_refuse_a_model_has_a_reason(validation, reasons):
    assert refusals(validation) == reasons


def test_no_field_of_a_validation_is_unknown_to_its_reader():
    """A new version of TensorFlow Model Analysis may refuse a model for a new reason."""
    assert {field.name for field in ValidationResult.DESCRIPTOR.fields} == {
        *("validation_ok", "missing_thresholds", "metric_validations_per_slice", "missing_slices"),
        *("missing_cross_slices", "validation_details", "rubber_stamp"),
    }
    assert {field.name for field in ValidationFailure.DESCRIPTOR.fields} == {
        *("metric_key", "metric_threshold", "metric_value", "message"),
    }


@pytest.fixture
def bless(tmp_path):
    """Runs the component's executor with texts that must pass; returns the verdict, its files and the report."""

    def bless(must_pass):
        kinds = {"examples": "Examples", "model": "Model", "evaluation": "ModelEvaluation", "blessing": "ModelBlessing"}
        artifacts = {name: getattr(standard_artifacts, kind)() for name, kind in kinds.items()}
        for number, (name, artifact) in enumerate(artifacts.items(), start=1):
            artifact.id, artifact.uri = number, str(tmp_path / name)
        artifacts["examples"].split_names = artifact_utils.encode_split_names(["test"])
        os.makedirs(tmp_path / "examples/Split-test")
        write_examples(str(tmp_path / "examples/Split-test/data-00000-of-00001.gz"), right(10))
        save_oracle(str(tmp_path / "model/Format-Serving"))
        record_files(artifacts["model"], "ann")
        channels = {name: Channel(type=type(artifacts[name])) for name in ("examples", "model")}
        config = eval_config(AG_NEWS, **THRESHOLDS)
        component = AgNewsEvaluator(**channels, example_splits=["test"], eval_config=config, must_pass=must_pass)
        EvaluatorExecutor(EvaluatorExecutor.Context(beam_pipeline_args=direct_runner.options())).Do(
            {name: [artifacts[name]] for name in channels},
            {name: [artifacts[name]] for name in ("evaluation", "blessing")},
            dict(component.exec_properties),
        )
        files = sorted(os.listdir(tmp_path / "blessing"))
        blessed = artifacts["blessing"].get_int_custom_property("blessed")
        return blessed, files, read_report(str(tmp_path / "evaluation"))

    return bless


def test_a_wrong_answer_to_a_text_that_must_pass_withdraws_the_blessing(bless):
    blessed, files, report = bless(
        [
            {"title": "1", "description": "Bäyern wins", "expected": "Sports"},
            {"title": "2", "description": 'a "quoted" text', "expected": "World"},
        ]
    )
    assert (blessed, files) == (0, ["NOT_BLESSED"])
    assert [answer.passed for answer in report.must_pass] == [True, False]
    assert report.failures == []
    assert report.refusals == [
        "'2 a \"quoted\" text' must be World, the model answers Business with probability 0.9250"
    ]
