"""Finds a served model's training data and test rows through its lineage, for comparison with its request log."""

import os
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from ml_metadata.metadata_store import MetadataStore
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import Texts, read_test_rows
from pipeline.metadata.graph import removed_on
from pipeline.metadata.lineage import model_lineage
from pipeline.monitoring.observations import confidence
from pipeline.monitoring.report import CONFIDENCE, UNKNOWN_SHARE
from pipeline.monitoring.statistics_pool import pool_statistics
from schema.errors import DataError
from schema.features import LABEL, TEST, TEXT_LENGTH, TRAIN
from schema.metadata import STATISTICS_FILE
from schema.paths import list_files

CORRECT = "correct"

Histogram = tuple[list[float], list[float]]
"""Inner bounds of the buckets, and the bucket counts (one more than bounds)."""


@dataclass(frozen=True)
class Reference:
    """The data that a request log is compared with.

    Attributes:
        training: StatisticsGen's statistics of the training rows; None if not available.
        predictions: the model's predictions for rows of the test split, with the columns `label`, `confidence` and
            `unknown_share`, and `correct`, whether the prediction is right; None if not available.
        notes: reasons why data is not available.
    """

    training: statistics_pb2.DatasetFeatureStatisticsList | None = None
    predictions: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)

    def class_counts(self, classes: int) -> list[int]:
        """Returns the number of training rows of each class."""
        counts = {
            bucket.label: bucket.sample_count for bucket in self._feature(LABEL).string_stats.rank_histogram.buckets
        }
        return [round(counts.get(str(label), 0)) for label in range(classes)]

    def mean_length(self) -> float:
        """Returns the mean text length of the training rows, characters."""
        return self._feature(TEXT_LENGTH).num_stats.mean

    def lengths(self) -> Histogram:
        """Returns the histogram of the training rows' text lengths, by the quantiles of the statistics."""
        histograms = self._feature(TEXT_LENGTH).num_stats.histograms
        [buckets] = [one.buckets for one in histograms if one.type == one.QUANTILES]
        bounds: list[float] = []
        counts: list[float] = []
        carried = 0.0
        for bucket in buckets:
            carried += bucket.sample_count
            # A bucket has no width if more than a tenth of the rows have the same length.
            if bucket.high_value > bucket.low_value:
                bounds.append(bucket.high_value)
                counts.append(carried)
                carried = 0.0
        return bounds[:-1], [*counts[:-1], counts[-1] + carried] if counts else [carried]

    def _feature(self, name: str):
        assert self.training is not None
        return next(one for one in self.training.datasets[0].features if one.path.step[0] == name)


def find_reference(store: MetadataStore, model_id: int, model: ExportedModel | None, rows: int) -> Reference:
    """Loads the reference data of a model.

    Args:
        store: the metadata store.
        model_id: id of the model's artifact.
        model: the served version, which classifies the test rows; None skips them.
        rows: maximum number of test rows to classify.
    """
    notes: list[str] = []
    try:
        origin = model_lineage(store, model_id)
    except DataError as error:
        return Reference(notes=[f"the training data of model {model_id} is unknown: {error}"])
    training = None
    paths = [os.path.join(one.uri, f"Split-{TRAIN}", STATISTICS_FILE) for one in origin.statistics]
    if len(paths) < len(origin.ingested):
        notes.append("the metadata store has no statistics of the training rows")
    else:
        try:
            training = pool_statistics([tfdv.load_stats_binary(path) for path in paths])
        except Exception:  # TensorFlow's file systems raise errors of their own; the paths help most.
            notes.append(f"the statistics of the training rows are no longer at {', '.join(paths)}")
    predictions = None
    if model is not None:
        predictions = _predict(os.path.join(origin.examples.uri, f"Split-{TEST}"), model, rows)
        if predictions is None:
            notes.append(f"the test rows are no longer at {origin.examples.uri}{removed_on(origin.examples)}")
    return Reference(training, predictions, notes)


def _predict(directory: str, model: ExportedModel, max_rows: int) -> pd.DataFrame | None:
    if not list_files(directory, "*"):
        return None
    rows = read_test_rows(directory)
    # Ids are hashes, so their order is random but reproducible.
    chosen = sorted(range(len(rows.ids)), key=rows.ids.__getitem__)[:max_rows]
    texts = Texts([rows.texts.titles[row] for row in chosen], [rows.texts.descriptions[row] for row in chosen])
    tokens, unknown = model.unknown_words(texts)
    scores = model.probabilities(texts)
    return pd.DataFrame(
        {
            LABEL: scores.argmax(axis=1),
            CORRECT: scores.argmax(axis=1) == rows.labels[chosen],
            CONFIDENCE: confidence(scores),
            UNKNOWN_SHARE: unknown / np.maximum(tokens, 1),
        }
    )
