"""What a served model was trained on and how it answered before it was pushed, found by its lineage."""

import os
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from ml_metadata.metadata_store import MetadataStore
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import Texts, read_test_rows
from components.validation_gate.statistics_pool import pooled
from pipeline.metadata.lineage import model_lineage
from pipeline.monitoring.observations import confidence
from pipeline.monitoring.report import CONFIDENCE, UNKNOWN_SHARE
from schema.errors import DataError
from schema.features import CLASS_NAMES, LABEL, TEST, TEXT_LENGTH, TRAIN
from schema.paths import list_files

Histogram = tuple[list[float], list[float]]
"""Inner bounds of the buckets, and the count of each bucket: one more."""


@dataclass(frozen=True)
class Reference:
    """What the log is compared with; what is not there is None, and `notes` says why.

    Attributes:
        training: StatisticsGen's statistics of the training rows.
        answers: the model's own answers to rows of the test split: `label`, `confidence` and `unknown_share`.
        notes: for the report.
    """

    training: statistics_pb2.DatasetFeatureStatisticsList | None = None
    answers: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)

    def class_counts(self) -> list[int]:
        """Training rows of each class."""
        counts = {bucket.label: bucket.sample_count for bucket in self._of(LABEL).string_stats.rank_histogram.buckets}
        return [round(counts.get(str(label), 0)) for label in range(len(CLASS_NAMES))]

    def lengths(self) -> Histogram:
        """Text lengths of the training rows, in the statistics' quantiles."""
        histograms = self._of(TEXT_LENGTH).num_stats.histograms
        [buckets] = [one.buckets for one in histograms if one.type == one.QUANTILES]
        bounds: list[float] = []
        counts: list[float] = []
        carried = 0.0
        for bucket in buckets:
            carried += bucket.sample_count
            # Where more than a tenth of the rows are of one length, a bucket has no width.
            if bucket.high_value > bucket.low_value:
                bounds.append(bucket.high_value)
                counts.append(carried)
                carried = 0.0
        return bounds[:-1], [*counts[:-1], counts[-1] + carried] if counts else [carried]

    def _of(self, name: str):
        assert self.training is not None
        return next(one for one in self.training.datasets[0].features if one.path.step[0] == name)


def find_reference(store: MetadataStore, model_id: int, model: ExportedModel | None, rows: int) -> Reference:
    """Follows the lineage of a model.

    Args:
        store: the metadata store.
        model_id: of the model.
        model: the served version, which answers the test rows; None leaves them out.
        rows: the most test rows that are asked.
    """
    notes: list[str] = []
    try:
        origin = model_lineage(store, model_id)
    except DataError as error:
        return Reference(notes=[f"nothing is known of what model {model_id} was trained on: {error}"])
    training = None
    paths = [os.path.join(one.uri, f"Split-{TRAIN}", "FeatureStats.pb") for one in origin.statistics]
    if len(paths) < len(origin.ingested):
        notes.append("no statistics of the training rows in the metadata store")
    else:
        try:
            training = pooled([tfdv.load_stats_binary(path) for path in paths])
        except Exception:  # TensorFlow's file systems raise their own; where they lay is what helps.
            notes.append(f"the statistics of the training rows are no longer at {', '.join(paths)}")
    answers = None
    if model is not None:
        answers = _answers(os.path.join(origin.examples.uri, f"Split-{TEST}"), model, rows)
        if answers is None:
            notes.append(f"the test rows are no longer at {origin.examples.uri}")
    return Reference(training, answers, notes)


def _answers(directory: str, model: ExportedModel, most: int) -> pd.DataFrame | None:
    if not list_files(directory, "*"):
        return None
    rows = read_test_rows(directory)
    # Ids are hashes: their order is chance, and the same each time.
    chosen = sorted(range(len(rows.ids)), key=rows.ids.__getitem__)[:most]
    texts = Texts([rows.texts.titles[row] for row in chosen], [rows.texts.descriptions[row] for row in chosen])
    tokens, unknown = model.unknown_words(texts)
    scores = model.probabilities(texts)
    return pd.DataFrame(
        {
            LABEL: scores.argmax(axis=1),
            CONFIDENCE: confidence(scores),
            UNKNOWN_SHARE: unknown / np.maximum(tokens, 1),
        }
    )
