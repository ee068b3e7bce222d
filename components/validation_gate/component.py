"""Stops the run on anomalies, which ExampleValidator only records, and on drift against earlier spans."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.validation_gate.drift import (
    JENSEN_SHANNON,
    L_INFINITY,
    RISE,
    UNKNOWN_WORDS,
    Drift,
    Limit,
    Rows,
    measure_drift,
)
from schema.data_set import LABEL, DataSet
from schema.errors import DriftError, ValidationError
from schema.features import ID, TEST, TRAIN
from schema.metadata import SCHEMA_FILE, STATISTICS_FILE, VALIDATION_BLESSING
from schema.news_items import TEXT_COLUMNS
from schema.paths import list_files

logger = logging.getLogger(__name__)

REPORT_FILE = "anomalies.json"
DRIFT_FILE = "drift.json"
_Info = anomalies_pb2.AnomalyInfo

# A split with more rows is sampled.
_MAX_ROWS = 50_000
_READ_BATCH = 4096
_DTYPES = {schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32, schema_pb2.BYTES: tf.string}
_CONSEQUENCES = {TRAIN: "it cannot be learned", TEST: "its recall cannot be measured"}


class ValidationBlessing(Artifact):
    """The gate's output: the data may be used for training. Holds the drift, and the anomalies that were only warnings.

    The properties `examples_id` and `statistics_id` identify the data.
    """

    TYPE_NAME = VALIDATION_BLESSING


@dataclass(frozen=True)
class Anomaly:
    """One way in which a split violates the schema."""

    split: str
    feature: str
    severity: str
    reason: str
    drift: bool = False

    def __str__(self) -> str:
        return f"split {self.split}, feature {self.feature}: {self.reason}"


@component
def ValidationGate(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    schema: InputArtifact[standard_artifacts.Schema],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    blessing: OutputArtifact[ValidationBlessing],
    max_unknown_words_rise: Parameter[float],
    drift_false_alarm_rate: Parameter[float],
    previous_examples: InputArtifact[list[standard_artifacts.Examples]] = None,
) -> None:
    """Lets the run continue if no anomaly has the severity ERROR and no signal has drifted.

    A class without rows in train or test is an error if there are no earlier spans to compare with, since no model
    trained on such data is ever blessed. With earlier spans it is a warning, and the drift of the labels decides.

    Args:
        examples: the rows to validate; the blessing names them, as TFX's ModelBlessing names its model.
        statistics: statistics of `examples`.
        schema: the curated schema; its drift comparators are the limits of the distances.
        anomalies: output of ExampleValidator.
        blessing: states that the rows may be used for training.
        max_unknown_words_rise: limit of the rise of the share of words that no earlier row has.
        drift_false_alarm_rate: probability that an ordinary span is refused.
        previous_examples: rows of the earlier spans to compare with.

    Raises:
        ValidationError: the data is invalid; the message names feature, split and reason. A DriftError if it has
            drifted.
    """
    splits = _splits(statistics)
    curated = io_utils.SchemaReader().read(os.path.join(schema.uri, SCHEMA_FILE))
    class_names = DataSet.of_schema(curated).class_names
    found = [anomaly for split in splits for anomaly in _read_anomalies(anomalies, split)]
    severity = "WARNING" if previous_examples else "ERROR"
    for split in filter(_CONSEQUENCES.get, splits):
        found += _missing_classes(_statistics(statistics, split), split, severity, class_names)
    measured: list[Drift] = []
    # Rows that the schema does not allow cannot be compared.
    if previous_examples and not any(anomaly.severity == "ERROR" for anomaly in found):
        limits = [*_limits_of(curated), Limit(UNKNOWN_WORDS, RISE, max_unknown_words_rise)]
        features = [limit.signal for limit in limits if limit.signal != UNKNOWN_WORDS]
        current, before = (
            {split: _read_rows(artifacts, split, curated, features) for split in splits}
            for artifacts in ([examples], previous_examples)
        )
        measured = measure_drift(
            current, before, limits, false_alarm_rate=drift_false_alarm_rate, names={LABEL: class_names}
        )
        found += [
            Anomaly(drift.split, drift.feature, "ERROR", str(drift), drift=True)
            for drift in measured
            if drift.is_significant
        ]
    errors = [anomaly for anomaly in found if anomaly.severity == "ERROR"]
    for anomaly in found:
        logger.warning("anomaly", extra={"fields": asdict(anomaly)})
    if errors:
        raise (DriftError if all(anomaly.drift for anomaly in errors) else ValidationError)(_message(errors))
    spans = sorted(one.get_int_custom_property("span") for one in previous_examples or [])
    _write(blessing, REPORT_FILE, [asdict(anomaly) for anomaly in found])
    _write(blessing, DRIFT_FILE, {"spans": spans, "measured": [asdict(drift) for drift in measured]})
    blessing.set_int_custom_property("examples_id", examples.id)
    blessing.set_int_custom_property("statistics_id", statistics.id)
    compared_with = " ".join(map(str, spans)) or "none"
    logger.info("data accepted", extra={"fields": {"warnings": len(found), "compared_with_span": compared_with}})


def read_drift(blessing_uri: str) -> tuple[list[int], list[Drift]]:
    """Returns the spans that accepted rows were compared with, and the measured drift."""
    with fileio.open(os.path.join(blessing_uri, DRIFT_FILE)) as file:
        report = json.load(file)
    return report["spans"], [Drift(**drift) for drift in report["measured"]]


def _write(blessing: Artifact, name: str, content: object) -> None:
    with fileio.open(os.path.join(blessing.uri, name), "w") as file:
        json.dump(content, file, indent=2)


def _splits(statistics: Artifact) -> list[str]:
    return artifact_utils.decode_split_names(statistics.split_names)


def _read_anomalies(anomalies: Artifact, split: str) -> list[Anomaly]:
    path = os.path.join(artifact_utils.get_split_uri([anomalies], split), "SchemaDiff.pb")
    return _anomalies(anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(path)), split)


def _statistics(artifact: Artifact, split: str):
    return tfdv.load_stats_binary(os.path.join(artifact_utils.get_split_uri([artifact], split), STATISTICS_FILE))


def _anomalies(found: anomalies_pb2.Anomalies, split: str) -> list[Anomaly]:
    rows = [
        Anomaly(split, feature, _Info.Severity.Name(info.severity), reason.description.strip())
        for feature, info in sorted(found.anomaly_info.items())
        for reason in info.reason
    ]
    if found.HasField("dataset_anomaly_info"):
        rows += [
            Anomaly(split, "(data set)", _Info.Severity.Name(found.dataset_anomaly_info.severity), reason.description)
            for reason in found.dataset_anomaly_info.reason
        ]
    if found.data_missing:
        rows.append(Anomaly(split, "(data set)", "ERROR", "there are no rows"))
    return rows


def _missing_classes(
    statistics: statistics_pb2.DatasetFeatureStatisticsList, split: str, severity: str, class_names: Sequence[str]
) -> Iterator[Anomaly]:
    for feature in statistics.datasets[0].features:
        buckets = feature.string_stats.rank_histogram.buckets
        # If there are no labels at all, other anomalies report it.
        if feature.path.step == [LABEL] and buckets:
            there = {bucket.label for bucket in buckets if bucket.sample_count}
            for label, name in enumerate(class_names):
                if str(label) not in there:
                    reason = f"no row is of class {name}: {_CONSEQUENCES[split]}"
                    yield Anomaly(split, LABEL, severity, reason)


def _message(errors: list[Anomaly]) -> str:
    remedies = []
    if any(not anomaly.drift for anomaly in errors):
        remedies.append(
            "correct the data, or the schema (data.schema_file) where the data is right (see `agnews schema infer`)"
        )
    if any(anomaly.drift for anomaly in errors):
        remedies.append(
            "where the drift is wanted, raise the feature's drift_comparator in the schema (data.schema_file), or "
            "data.max_unknown_words_rise for unknown words"
        )
    lines = "\n".join(f"  {anomaly}" for anomaly in errors)
    return (
        "the data is not what the schema says; nothing was trained and the last pushed model stays in place:\n"
        f"{lines}\nNext: {'; '.join(remedies)}"
    )


def _limits_of(schema: schema_pb2.Schema) -> list[Limit]:
    """Returns the limits of the schema's drift comparators."""
    limits = []
    for feature in schema.feature:
        comparator = feature.drift_comparator
        if comparator.HasField("infinity_norm"):
            limits.append(Limit(feature.name, L_INFINITY, comparator.infinity_norm.threshold))
        if comparator.HasField("jensen_shannon_divergence"):
            # The divergence of a text feature's values needs no order; that of numbers needs buckets.
            measure = L_INFINITY if feature.type == schema_pb2.BYTES else JENSEN_SHANNON
            limits.append(Limit(feature.name, measure, comparator.jensen_shannon_divergence.threshold))
    return limits


def _read_rows(examples: Sequence[Artifact], split: str, schema: schema_pb2.Schema, features: Sequence[str]) -> Rows:
    """Reads a split of one or several spans; of a large split, a sample that depends on the ids only.

    Args:
        examples: Examples, which may lack the split.
        split: name of the split.
        schema: the curated schema, which has the types of the features.
        features: features to read, and the texts; each row has one value of each.
    """
    types = {feature.name: _DTYPES[feature.type] for feature in schema.feature}
    spec = {name: tf.io.FixedLenFeature([], types[name]) for name in {*features, ID, *TEXT_COLUMNS}}
    parts = [
        _read_examples(artifact_utils.get_split_uri([artifact], split), spec, features)
        for artifact in examples
        if split in artifact_utils.decode_split_names(artifact.split_names)
    ]
    return Rows.concatenate(parts)


def _read_examples(directory: str, spec: dict[str, tf.io.FixedLenFeature], features: Sequence[str]) -> Rows:
    records = tf.data.TFRecordDataset(list_files(directory, "*"), compression_type="GZIP")
    rows = int(records.reduce(np.int64(0), lambda count, _: count + 1))
    values: dict[str, list[np.ndarray]] = {name: [] for name in features}
    texts: list[str] = []
    for batch in records.batch(_READ_BATCH).map(lambda one: tf.io.parse_example(one, spec)).as_numpy_iterator():
        # The first digits of the id decide between train and val.
        chosen = np.array([int(key[8:16], 16) * rows < _MAX_ROWS * 2**32 for key in batch[ID]])
        for name in features:
            values[name].append(batch[name][chosen])
        columns = zip(*(batch[name][chosen] for name in TEXT_COLUMNS), strict=True)
        texts += [b" ".join(row).decode() for row in columns]
    return Rows({name: np.concatenate(parts) for name, parts in values.items()}, texts)
