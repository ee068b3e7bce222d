"""The sections about the data and the vocabulary."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils

from components.evaluator_report import OVERALL
from components.model_card.exported_model import ExportedModel
from components.model_card.lineage import Fingerprint, fingerprint
from components.model_card.rows import TestRows
from components.trainer.input_pipeline import read_rows
from components.transform import OOV_ID, VOCABULARY
from schema.features import CLASS_NAMES, LABEL, LENGTH_BUCKET, LENGTH_BUCKETS, TEST, TRAIN, VAL

_QUARANTINED = "quarantined_"


@dataclass(frozen=True)
class SplitRows:
    """Rows of a split, in all, by class and by length bucket."""

    rows: int
    by_class: dict[str, int]
    by_length: dict[str, int]


@dataclass(frozen=True)
class Data:
    """What the model was trained and judged on.

    Attributes:
        source: where the rows were read from.
        synthetic: whether this project made them up.
        span: number of the span.
        rows_read: good and bad ones.
        rows_quarantined: bad ones.
        quarantined: of these the number by reason, of the reasons that occurred.
        duplicates: rows whose text stands in the same files before.
        train_test_overlap: test rows whose text is a training row's as well.
        splits: by name.
        input_fingerprint: of the files that were read: number, bytes, and checksums of their times.
        examples: of the rows as they were written, content alone.
        preparation: the settings of ingestion and tokenization, by name.
    """

    source: str
    synthetic: bool
    span: int
    rows_read: int
    rows_quarantined: int
    quarantined: dict[str, int]
    duplicates: int
    train_test_overlap: int
    splits: dict[str, SplitRows]
    input_fingerprint: str
    examples: Fingerprint
    preparation: dict[str, float]


@dataclass(frozen=True)
class UnknownWords:
    """Tokens of some texts, and how many of them the vocabulary lacks."""

    tokens: int
    unknown: int

    @property
    def share(self) -> float:
        """Of the unknown ones. It has no interval: the tokens of a text are not drawn one by one."""
        return self.unknown / self.tokens


@dataclass(frozen=True)
class Vocabulary:
    """The words that have an id of their own.

    Attributes:
        words: their number; padding and "unknown" have ids beside.
        coverage: share of the training tokens that are such words.
        by_slice: the unknown words of train, val and each slice of the test rows.
    """

    words: int
    coverage: float
    by_slice: dict[str, UnknownWords]


def describe_data(examples: Artifact, statistics: Artifact, preparation: Mapping[str, float]) -> Data:
    """Reads the counts from the artifacts' properties and from the statistics.

    Args:
        examples: the ingested rows.
        statistics: of the same rows.
        preparation: settings that decide which rows and tokens there are.
    """
    counts = {
        name.removeprefix(_QUARANTINED): examples.get_int_custom_property(name)
        for name in examples.mlmd_artifact.custom_properties
        if name.startswith(_QUARANTINED) and name != f"{_QUARANTINED}uri"
    }
    splits = artifact_utils.decode_split_names(statistics.split_names)
    return Data(
        source=examples.get_string_custom_property("source"),
        synthetic=examples.get_int_custom_property("synthetic") == 1,
        span=examples.get_int_custom_property("span"),
        rows_read=examples.get_int_custom_property("rows_read"),
        rows_quarantined=examples.get_int_custom_property("rows_quarantined"),
        quarantined={reason: count for reason, count in counts.items() if count},
        duplicates=examples.get_int_custom_property("duplicates"),
        train_test_overlap=examples.get_int_custom_property("train_test_overlap"),
        splits={split: _split(statistics, split) for split in splits},
        input_fingerprint="; ".join(examples.get_string_custom_property("input_fingerprint").splitlines()),
        examples=fingerprint(examples.uri),
        preparation=dict(preparation),
    )


def _split(statistics: Artifact, split: str) -> SplitRows:
    path = os.path.join(artifact_utils.get_split_uri([statistics], split), "FeatureStats.pb")
    dataset = tfdv.load_stats_binary(path).datasets[0]
    histograms = {
        feature.path.step[0]: {
            bucket.label: round(bucket.sample_count) for bucket in feature.string_stats.rank_histogram.buckets
        }
        for feature in dataset.features
    }
    return SplitRows(
        int(dataset.num_examples),
        {name: histograms[LABEL].get(str(label), 0) for label, name in enumerate(CLASS_NAMES)},
        {name: histograms[LENGTH_BUCKET].get(name, 0) for name in LENGTH_BUCKETS},
    )


def describe_vocabulary(
    transform_graph: Artifact, transformed_examples: Artifact, model: ExportedModel, rows: TestRows
) -> Vocabulary:
    """Counts unknown words: in train and val from the ids that were trained on, in test from those of the export."""
    by_slice = {split: _of_split(transformed_examples, split) for split in (TRAIN, VAL)}
    tokens, unknown = model.unknown_words(rows.texts)
    for name, mask in rows.slices().items():
        by_slice[TEST if name == OVERALL else f"{TEST}, {name}"] = _unknown(tokens[mask], unknown[mask])
    words = tft.TFTransformOutput(transform_graph.uri).vocabulary_size_by_name(VOCABULARY)
    return Vocabulary(words, 1.0 - by_slice[TRAIN].share, by_slice)


def _of_split(transformed_examples: Artifact, split: str) -> UnknownWords:
    files = fileio.glob(os.path.join(artifact_utils.get_split_uri([transformed_examples], split), "*"))
    ids = read_rows(sorted(files)).token_ids
    return _unknown([len(ids)], [int(np.count_nonzero(ids == OOV_ID))])


def _unknown(tokens: Sequence[int], unknown: Sequence[int]) -> UnknownWords:
    return UnknownWords(int(sum(tokens)), int(sum(unknown)))
