"""Reads artifacts' files: a model card's evidence and predictions, texts of test rows, statistics and anomalies.

All paths come from the metadata store. Results are cached because artifacts do not change.
"""

import gzip
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.dsl.io import fileio

from components.artifact_files import FileUnavailable, read_file
from components.model_card import render
from components.model_card.predictions import Predictions, read_predictions
from pipeline.metadata.evaluation_metrics import records
from schema.data_set import AG_NEWS, DESCRIPTION, ID, TITLE, DataSet
from schema.errors import SettingsError
from schema.features import TEST
from schema.metadata import SCHEMA_FILE, STATISTICS_FILE

_MISSING = (OSError, tf.errors.OpError)

Evidence = Mapping[str, Any]
"""The content of evidence.json."""

read_evidence = lru_cache(maxsize=64)(render.read_evidence)


def read_page(card: str) -> bytes:
    """Reads a model card's HTML; raises `FileUnavailable`."""
    return read_file(os.path.join(card, render.HTML))


@lru_cache(maxsize=8)
def predictions_of(card: str) -> Predictions:
    """Reads the model's predictions for the test rows; raises `FileUnavailable`."""
    try:
        return read_predictions(card)
    except _MISSING as error:
        raise FileUnavailable(
            f"the model card in {card} contains no predictions; an earlier release wrote it"
        ) from error


@lru_cache(maxsize=4)
def texts_of(examples: str) -> Mapping[str, tuple[str, str]]:
    """Reads the title and description of each test row, by the row's id.

    Args:
        examples: directory of the Examples artifact.

    Raises:
        FileUnavailable: a file cannot be read.
    """
    found = {}
    for file in _files(os.path.join(examples, f"Split-{TEST}")):
        for record in records(gzip.decompress(read_file(file))):
            feature = tf.train.Example.FromString(record).features.feature
            row, title, text = (feature[name].bytes_list.value[0].decode() for name in (ID, TITLE, DESCRIPTION))
            found[row] = (title, text)
    return found


@lru_cache(maxsize=64)
def classes_of(schema: str) -> tuple[str, ...]:
    """Reads the class names of a Schema artifact, those of AG News if it has none; raises `FileUnavailable`."""
    text = read_file(os.path.join(schema, SCHEMA_FILE)).decode()
    try:
        return DataSet.of_schema(text_format.Parse(text, schema_pb2.Schema())).class_names
    except (SettingsError, text_format.ParseError):
        return AG_NEWS.class_names


@lru_cache(maxsize=64)
def statistics_of(statistics: str, split: str) -> statistics_pb2.DatasetFeatureStatistics:
    """Reads the statistics of a split; raises `FileUnavailable`."""
    content = read_file(os.path.join(statistics, f"Split-{split}", STATISTICS_FILE))
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets[0]


@lru_cache(maxsize=64)
def anomalies_of(anomalies: str, split: str) -> anomalies_pb2.Anomalies:
    """Reads ExampleValidator's anomalies of a split; raises `FileUnavailable`."""
    return anomalies_pb2.Anomalies.FromString(read_file(os.path.join(anomalies, f"Split-{split}", "SchemaDiff.pb")))


def _files(directory: str) -> list[str]:
    try:
        return sorted(os.path.join(directory, name) for name in fileio.listdir(directory))
    except _MISSING as error:
        raise FileUnavailable(f"{directory} cannot be read; it may have been deleted") from error
