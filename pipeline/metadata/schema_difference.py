"""Compares the curated schema with one that is inferred from the data."""

import difflib
import os

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline.metadata.connection import open_store
from pipeline.metadata.graph import live_artifacts
from schema.errors import RunError
from schema.features import TRAIN
from schema.metadata import STATISTICS, STATISTICS_FILE


def infer_from_latest_statistics(
    connection: metadata_store_pb2.ConnectionConfig, curated: schema_pb2.Schema
) -> tuple[str, int, list[str]]:
    """Infers a schema from the latest run's statistics of the training rows.

    Args:
        connection: the metadata store.
        curated: the schema to compare with.

    Returns:
        The inferred schema as text, the span of the rows, and the lines of the difference from the curated schema.

    Raises:
        RunError: there are no statistics yet.
    """
    statistics_of_runs = live_artifacts(open_store(connection), STATISTICS)
    if not statistics_of_runs:
        raise RunError("there are no statistics yet: `agnews run` computes them")
    latest = statistics_of_runs[-1]
    statistics = tfdv.load_stats_binary(os.path.join(latest.uri, f"Split-{TRAIN}", STATISTICS_FILE))
    inferred = tfdv.infer_schema(statistics)
    before, after = (_lines_by_feature(schema) for schema in (curated, inferred))
    lines = [
        f"{mark} {name}: {line}"
        for name in sorted(before.keys() | after.keys())
        for mark, line in _changed_lines(before.get(name, []), after.get(name, []))
    ]
    return text_format.MessageToString(inferred), latest.properties["span"].int_value, lines


def _lines_by_feature(schema: schema_pb2.Schema) -> dict[str, list[str]]:
    """Returns the lines of each feature, one per field. A domain of its own is put into the features that use it."""
    domains = {domain.name: domain for domain in schema.string_domain}
    lines = {}
    for feature in schema.feature:
        flat = schema_pb2.Feature()
        flat.CopyFrom(feature)
        if feature.domain in domains:
            flat.string_domain.CopyFrom(domains[feature.domain])
        # The order of a domain's values has no meaning: inferred values are sorted by frequency or by letter.
        if flat.HasField("string_domain"):
            flat.string_domain.value.sort()
        fields = ((field.name, value) for field, value in flat.ListFields() if field.name != "name")
        lines[feature.name] = sorted(f"{name}: {_one_line(value)}" for name, value in fields)
    return lines


def _one_line(value: object) -> str:
    if hasattr(value, "DESCRIPTOR"):
        return "{ " + text_format.MessageToString(value, as_one_line=True).strip() + " }"
    return str(value)


def _changed_lines(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    return [(line[0], line[2:]) for line in difflib.ndiff(before, after) if line[0] in "-+"]
