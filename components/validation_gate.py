"""Stops the run on anomalies, which ExampleValidator only records, and on drift against the previous span."""

import json
import logging
import os
from dataclasses import asdict, dataclass

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.utils import io_utils

from schema.errors import ValidationError

logger = logging.getLogger(__name__)

REPORT_FILE = "anomalies.json"
_Info = anomalies_pb2.AnomalyInfo
_DRIFT = (
    _Info.COMPARATOR_L_INFTY_HIGH,
    _Info.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    _Info.COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH,
)


class ValidationBlessing(Artifact):
    """The gate's output: the data may be trained on. Holds a report of the anomalies that did not stop the run."""

    TYPE_NAME = "agnews.ValidationBlessing"


@dataclass(frozen=True)
class Anomaly:
    """One reason why the data of a split is not what the schema says."""

    split: str
    feature: str
    severity: str
    reason: str
    drift: bool

    def __str__(self) -> str:
        return f"split {self.split}, feature {self.feature}: {self.reason}"


@component
def ValidationGate(
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    schema: InputArtifact[standard_artifacts.Schema],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    blessing: OutputArtifact[ValidationBlessing],
    previous_statistics: InputArtifact[standard_artifacts.ExampleStatistics] = None,
) -> None:
    """Lets the run go on when no anomaly has the severity ERROR and no feature drifted.

    Raises:
        ValidationError: it names feature, split and reason of each.
    """
    splits = artifact_utils.decode_split_names(statistics.split_names)
    found = [anomaly for split in splits for anomaly in _recorded(anomalies, split)]
    if previous_statistics is not None:
        curated = io_utils.SchemaReader().read(os.path.join(schema.uri, "schema.pbtxt"))
        previous_splits = artifact_utils.decode_split_names(previous_statistics.split_names)
        for split in [split for split in splits if split in previous_splits]:
            found += _drifted(_statistics(statistics, split), _statistics(previous_statistics, split), curated, split)
    errors = [anomaly for anomaly in found if anomaly.severity == "ERROR"]
    for anomaly in found:
        logger.warning("anomaly", extra={"fields": asdict(anomaly)})
    if errors:
        raise ValidationError(_message(errors))
    with fileio.open(os.path.join(blessing.uri, REPORT_FILE), "w") as file:
        json.dump([asdict(anomaly) for anomaly in found], file, indent=2)
    compared = previous_statistics.span if previous_statistics is not None else "none"
    logger.info("data accepted", extra={"fields": {"warnings": len(found), "compared_with_span": compared}})


def _recorded(anomalies: Artifact, split: str) -> list[Anomaly]:
    path = os.path.join(artifact_utils.get_split_uri([anomalies], split), "SchemaDiff.pb")
    return _anomalies(anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(path)), split)


def _statistics(artifact: Artifact, split: str):
    return tfdv.load_stats_binary(os.path.join(artifact_utils.get_split_uri([artifact], split), "FeatureStats.pb"))


def _drifted(current, previous, schema: schema_pb2.Schema, split: str) -> list[Anomaly]:
    compared = tfdv.validate_statistics(current, schema, previous_statistics=previous)
    return [anomaly for anomaly in _anomalies(compared, split) if anomaly.drift]


def _anomalies(found: anomalies_pb2.Anomalies, split: str) -> list[Anomaly]:
    rows = [
        Anomaly(split, feature, _Info.Severity.Name(info.severity), reason.description.strip(), reason.type in _DRIFT)
        for feature, info in sorted(found.anomaly_info.items())
        for reason in info.reason
    ]
    if found.HasField("dataset_anomaly_info"):
        rows += [
            Anomaly(
                split, "(data set)", _Info.Severity.Name(found.dataset_anomaly_info.severity), reason.description, False
            )
            for reason in found.dataset_anomaly_info.reason
        ]
    if found.data_missing:
        rows.append(Anomaly(split, "(data set)", "ERROR", "there are no rows", False))
    return rows


def _message(errors: list[Anomaly]) -> str:
    remedies = []
    if any(not anomaly.drift for anomaly in errors):
        remedies.append(
            "correct the data, or schema/schema.pbtxt where the data is right (`agnews schema infer` shows where)"
        )
    if any(anomaly.drift for anomaly in errors):
        remedies.append("where the drift is wanted, raise the feature's drift_comparator in schema/schema.pbtxt")
    lines = "\n".join(f"  {anomaly}" for anomaly in errors)
    return (
        "the data is not what the schema says; nothing was trained and the last pushed model stays in place:\n"
        f"{lines}\nNext: {'; '.join(remedies)}"
    )
