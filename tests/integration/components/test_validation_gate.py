import json

import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.validation_gate.component import REPORT_FILE, ValidationBlessing, ValidationGate, read_drift
from schema.errors import DriftError, ValidationError
from schema.features import SPLITS, load_schema

# As many that no split is compared together with another one.
ROWS = 1200
LIMITS = {"max_unknown_words_rise": 0.1, "drift_false_alarm_rate": 0.001}


def frame(**columns):
    """Returns valid rows of every class and length, with the columns in `columns` replaced."""
    rows = {
        "id": [f"{index:016x}" for index in range(ROWS)],
        "title": [f"title {index}" for index in range(ROWS)],
        "description": [f"text {index}" for index in range(ROWS)],
        "label": [index % 4 for index in range(ROWS)],
        "text_length": [150 + index % 200 for index in range(ROWS)],
        "length_bucket": [("short", "medium", "long")[index % 3] for index in range(ROWS)],
    }
    return pd.DataFrame(rows | columns)


def example(row):
    """Returns the serialized tf.Example of a row."""
    made = tf.train.Example()
    for name, value in row.items():
        if isinstance(value, str):
            made.features.feature[name].bytes_list.value.append(value.encode())
        else:
            made.features.feature[name].int64_list.value.append(value)
    return made.SerializeToString()


@pytest.fixture
def gate(tmp_path):
    def statistics(name, by_split, span=0):
        artifact = standard_artifacts.ExampleStatistics()
        artifact.uri = str(tmp_path / name)
        artifact.span = span
        artifact.split_names = artifact_utils.encode_split_names(list(by_split))
        for split, rows in by_split.items():
            options = tfdv.StatsOptions(schema=load_schema())
            found = tfdv.generate_statistics_from_dataframe(rows, options)
            io_utils.write_bytes_file(f"{artifact.uri}/Split-{split}/FeatureStats.pb", found.SerializeToString())
        return artifact

    def examples(name, by_split, span=0):
        artifact = standard_artifacts.Examples()
        artifact.uri = str(tmp_path / name)
        artifact.set_int_custom_property("span", span)
        artifact.split_names = artifact_utils.encode_split_names(list(by_split))
        # Most tests have the same rows in all splits.
        serialized = {id(rows): list(map(example, rows.to_dict("records"))) for rows in by_split.values()}
        for split, rows in by_split.items():
            directory = tmp_path / name / f"Split-{split}"
            directory.mkdir(parents=True, exist_ok=True)
            with tf.io.TFRecordWriter(str(directory / "rows.gz"), "GZIP") as writer:
                for row in serialized[id(rows)]:
                    writer.write(row)
        return artifact

    def anomalies(artifact):
        found = standard_artifacts.ExampleAnomalies()
        found.uri = str(tmp_path / "anomalies")
        found.split_names = artifact.split_names
        for split in artifact_utils.decode_split_names(artifact.split_names):
            stats = tfdv.load_stats_binary(f"{artifact.uri}/Split-{split}/FeatureStats.pb")
            diff = tfdv.validate_statistics(stats, load_schema()).SerializeToString()
            io_utils.write_bytes_file(f"{found.uri}/Split-{split}/SchemaDiff.pb", diff)
        return found

    def run(by_split, *previous):
        schema = standard_artifacts.Schema()
        schema.uri = str(tmp_path / "schema")
        io_utils.write_pbtxt_file(f"{schema.uri}/schema.pbtxt", load_schema())
        current = statistics("current", by_split, span=2)
        rows = examples("rows", by_split, span=2)
        rows.id, current.id = 5, 6
        inputs = {"examples": [rows], "statistics": [current], "schema": [schema]}
        inputs["anomalies"] = [anomalies(current)]
        inputs["previous_examples"] = [
            examples(f"previous-{span}", by_split, span) for span, by_split in enumerate(previous, start=1)
        ]
        blessing = ValidationBlessing()
        blessing.uri = str(tmp_path / "blessing")
        io_utils.write_string_file(f"{blessing.uri}/made", "")
        ValidationGate.EXECUTOR_SPEC.executor_class().Do(inputs, {"blessing": [blessing]}, LIMITS)
        run.blessing = blessing
        return json.loads((tmp_path / "blessing" / REPORT_FILE).read_text())

    return run


SIGNALS = ("label", "text_length", "unknown words")


def everywhere(rows):
    return dict.fromkeys(SPLITS, rows)


def test_good_data_passes_without_a_word(gate):
    assert gate(everywhere(frame())) == []


def test_an_unknown_label_stops_the_run_and_names_feature_split_and_reason(gate):
    bad = everywhere(frame()) | {"val": frame(label=[7] + [index % 4 for index in range(ROWS - 1)])}
    with pytest.raises(ValidationError, match=r"split val, feature label: .*7") as stopped:
        gate(bad)
    assert "last pushed model stays in place" in str(stopped.value)
    assert "split train" not in str(stopped.value)


def test_a_missing_feature_stops_the_run(gate):
    with pytest.raises(ValidationError, match="split train, feature title"):
        gate(everywhere(frame()) | {"train": frame().drop(columns="title")})


def test_a_text_length_out_of_bounds_stops_the_run(gate):
    with pytest.raises(ValidationError, match="feature text_length"):
        gate(everywhere(frame(text_length=[20_000] * ROWS)))


def test_the_same_distributions_are_no_drift(gate):
    assert gate(everywhere(frame()), everywhere(frame())) == []


def test_drift_of_the_labels_stops_the_run(gate):
    moved = frame(label=[0 if index % 3 == 0 else index % 4 for index in range(ROWS)])
    with pytest.raises(
        ValidationError, match=r"feature label: class World is 50.0% of the rows and was 25.0%; 1,200 rows"
    ) as stopped:
        gate(everywhere(moved), everywhere(frame()))
    assert "drift_comparator" in str(stopped.value)


def test_a_small_move_of_the_labels_passes(gate):
    moved = frame(label=[0 if index % 40 == 1 else index % 4 for index in range(ROWS)])
    assert gate(everywhere(moved), everywhere(frame())) == []


def test_drift_of_the_text_length_stops_the_run(gate):
    longer = frame(text_length=[600 + index % 200 for index in range(ROWS)])
    with pytest.raises(ValidationError, match="feature text_length"):
        gate(everywhere(longer), everywhere(frame()))


def test_texts_of_other_words_stop_the_run(gate):
    with pytest.raises(DriftError, match=r"feature unknown words: .* of a text's words are in no earlier text"):
        gate(everywhere(frame(title=["otro titulo"] * ROWS, description=["una frase"] * ROWS)), everywhere(frame()))


def test_a_split_that_the_previous_span_lacked_is_not_compared(gate):
    moved = frame(label=[0] * ROWS)
    previous = {"train": frame(), "test": frame()}
    assert gate({"train": frame(), "val": moved, "test": frame()}, previous) == []


def test_the_blessing_names_what_was_accepted(gate):
    gate(everywhere(frame()))
    properties = [gate.blessing.get_int_custom_property(name) for name in ("examples_id", "statistics_id")]
    assert properties == [5, 6]


def test_the_distance_from_earlier_spans_is_kept_with_its_limit(gate):
    moved = frame(label=[0 if index % 40 == 1 else index % 4 for index in range(ROWS)])
    gate(everywhere(moved), everywhere(frame()))
    spans, measured = read_drift(gate.blessing.uri)
    assert spans == [1]
    values = {(drift.split, drift.feature): drift for drift in measured}
    assert values.keys() == {(split, feature) for split in SPLITS for feature in SIGNALS}
    labels = values["train", "label"]
    assert (labels.measure, round(labels.value, 4), labels.threshold) == ("L-infinity distance", 0.025, 0.05)
    assert values["test", "text_length"].value == 0


def test_the_first_span_is_compared_with_nothing(gate):
    gate(everywhere(frame()))
    assert read_drift(gate.blessing.uri) == ([], [])


def test_several_spans_are_compared_with_as_one(gate):
    # Neither half has all labels.
    low, high = (frame(label=[first + index % 2 for index in range(ROWS)]) for first in (0, 2))
    assert gate(everywhere(frame()), everywhere(low), everywhere(high)) == []
    spans, measured = read_drift(gate.blessing.uri)
    assert spans == [1, 2]
    assert {round(drift.value, 6) for drift in measured} == {0.0}
    with pytest.raises(DriftError, match="feature label"):
        gate(everywhere(frame()), everywhere(low))


def test_drift_with_another_anomaly_is_more_than_drift(gate):
    bad = frame(label=[0] * (ROWS - 1) + [7])
    with pytest.raises(ValidationError) as stopped:
        gate(everywhere(bad), everywhere(frame()))
    assert not isinstance(stopped.value, DriftError)


WITHOUT_SPORTS = frame(label=[(0, 2, 3)[index % 3] for index in range(ROWS)])


@pytest.mark.parametrize(
    ("split", "consequence"), [("train", "it cannot be learned"), ("test", "its recall cannot be measured")]
)
def test_a_class_without_rows_stops_a_first_run_before_training(gate, split, consequence):
    with pytest.raises(
        ValidationError, match=f"split {split}, feature label: no row is of class Sports: {consequence}"
    ):
        gate(everywhere(frame()) | {split: WITHOUT_SPORTS})


def test_every_class_without_rows_is_named(gate):
    with pytest.raises(ValidationError) as stopped:
        gate(everywhere(frame(label=[0, 1] * (ROWS // 2))))
    for name in ("Business", "Sci/Tech"):
        for split in ("train", "test"):
            assert f"split {split}, feature label: no row is of class {name}" in str(stopped.value)


def test_a_small_split_val_may_lack_a_class(gate):
    assert gate(everywhere(frame()) | {"val": WITHOUT_SPORTS}) == []


def test_later_a_class_without_rows_is_a_warning_where_the_drift_is_wanted(gate):
    [warned] = gate(everywhere(frame()) | {"test": WITHOUT_SPORTS}, everywhere(frame()) | {"test": WITHOUT_SPORTS})
    assert (warned["split"], warned["severity"]) == ("test", "WARNING")
    assert "no row is of class Sports" in warned["reason"]


def test_later_a_class_that_vanishes_is_drift(gate):
    with pytest.raises(DriftError, match="split test, feature label"):
        gate(everywhere(frame()) | {"test": WITHOUT_SPORTS}, everywhere(frame()))
