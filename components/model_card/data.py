"""The sections about the data and the vocabulary."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
from tfx.types import Artifact, artifact_utils

from components.evaluator.report import OVERALL
from components.model_card.exported_model import ExportedModel
from components.model_card.lineage import Fingerprint, fingerprint
from components.model_card.rows import TestRows
from components.trainer.input_pipeline import read_rows
from schema.data_set import AG_NEWS, LABEL, LENGTH_BUCKET, DataSet
from schema.features import SPLITS, TEST, TRAIN, VAL
from schema.metadata import STATISTICS_FILE
from schema.model_contract import OOV_ID, VOCABULARY

_QUARANTINED = "quarantined_"


@dataclass(frozen=True)
class SplitRows:
    """Number of rows in a split: total, by class, and by length bucket."""

    rows: int
    by_class: dict[str, int]
    by_length: dict[str, int]


@dataclass(frozen=True)
class Data:
    """The data that the model was trained and evaluated on.

    Attributes:
        source: where the rows were read from.
        synthetic: whether the rows are synthetic data of this project.
        spans: numbers of the spans in the training window, in order; the test rows of the last one are used.
        rows_read: number of rows, including rejected ones.
        rows_quarantined: number of rejected rows.
        quarantined: number of rejected rows by reason, for the reasons that occurred.
        duplicates: number of rows whose text occurred earlier in the same files.
        train_test_overlap: number of test rows whose text is also the text of a training row.
        splits: rows of each split, by name.
        input_fingerprint: fingerprint of the files that were read: number, bytes, and checksums of their times.
        examples: fingerprint of the ingested rows, of their content only.
        preparation: settings of ingestion and tokenization, by name.
    """

    source: str
    synthetic: bool
    spans: tuple[int, ...]
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
    """Number of tokens in some texts, and number of those that are not in the vocabulary."""

    tokens: int
    unknown: int

    @property
    def share(self) -> float:
        """Share of unknown tokens. It has no interval, since the tokens of a text are not drawn independently."""
        return self.unknown / self.tokens


@dataclass(frozen=True)
class Vocabulary:
    """The words that have their own id.

    Attributes:
        words: number of words, without the ids of padding and "unknown".
        coverage: share of the training tokens that are in the vocabulary.
        by_slice: unknown words of train, val and each slice of the test rows.
    """

    words: int
    coverage: float
    by_slice: dict[str, UnknownWords]


def describe_data(
    examples: Sequence[Artifact],
    statistics: Sequence[Artifact],
    preparation: Mapping[str, float],
    data_set: DataSet = AG_NEWS,
) -> Data:
    """Reads the counts from the artifacts' properties and from the statistics.

    Args:
        examples: ingested rows of the spans in the training window, in order; the test rows of the last one are used.
        statistics: statistics of `examples`, in the same order.
        preparation: settings that affect rows and tokens.
        data_set: classes and length buckets.
    """

    def total(name: str) -> int:
        return sum(artifact.get_int_custom_property(name) for artifact in examples)

    reasons = [name for name in examples[-1].mlmd_artifact.custom_properties if name.startswith(_QUARANTINED)]
    counts = {name.removeprefix(_QUARANTINED): total(name) for name in reasons if name != f"{_QUARANTINED}uri"}
    fingerprints = [artifact.get_string_custom_property("input_fingerprint") for artifact in examples]
    return Data(
        source=examples[-1].get_string_custom_property("source"),
        synthetic=examples[-1].get_int_custom_property("synthetic") == 1,
        spans=tuple(artifact.get_int_custom_property("span") for artifact in examples),
        rows_read=total("rows_read"),
        rows_quarantined=total("rows_quarantined"),
        quarantined={reason: count for reason, count in counts.items() if count},
        duplicates=total("duplicates"),
        train_test_overlap=total("train_test_overlap"),
        splits={split: _split(statistics[-1:] if split == TEST else statistics, split, data_set) for split in SPLITS},
        input_fingerprint="; ".join("\n".join(fingerprints).splitlines()),
        examples=fingerprint(*(artifact.uri for artifact in examples)),
        preparation=dict(preparation),
    )


def _split(statistics: Sequence[Artifact], split: str, data_set: DataSet) -> SplitRows:
    rows = 0
    counts: dict[str, Counter[str]] = {LABEL: Counter(), LENGTH_BUCKET: Counter()}
    for artifact in statistics:
        path = os.path.join(artifact_utils.get_split_uri([artifact], split), STATISTICS_FILE)
        dataset = tfdv.load_stats_binary(path).datasets[0]
        rows += int(dataset.num_examples)
        for feature in dataset.features:
            if feature.path.step[0] in counts:
                buckets = feature.string_stats.rank_histogram.buckets
                counts[feature.path.step[0]].update({bucket.label: round(bucket.sample_count) for bucket in buckets})
    return SplitRows(
        rows,
        {name: counts[LABEL][str(label)] for label, name in enumerate(data_set.class_names)},
        {name: counts[LENGTH_BUCKET][name] for name in data_set.length_buckets},
    )


def describe_vocabulary(
    transform_graph: Artifact, transformed_examples: Sequence[Artifact], model: ExportedModel, rows: TestRows
) -> Vocabulary:
    """Counts unknown words, using the ids from training for train and val, and the export's ids for test."""
    by_slice = {split: _of_split(transformed_examples, split) for split in (TRAIN, VAL)}
    tokens, unknown = model.unknown_words(rows.texts)
    for name, mask in rows.slices().items():
        by_slice[TEST if name == OVERALL else f"{TEST}, {name}"] = _unknown(tokens[mask], unknown[mask])
    words = tft.TFTransformOutput(transform_graph.uri).vocabulary_size_by_name(VOCABULARY)
    return Vocabulary(words, 1.0 - by_slice[TRAIN].share, by_slice)


def _of_split(transformed_examples: Sequence[Artifact], split: str) -> UnknownWords:
    uris = artifact_utils.get_split_uris(list(transformed_examples), split)
    ids = read_rows([os.path.join(uri, "*") for uri in uris]).token_ids
    return _unknown([len(ids)], [int(np.count_nonzero(ids == OOV_ID))])


def _unknown(tokens: Sequence[int], unknown: Sequence[int]) -> UnknownWords:
    return UnknownWords(int(sum(tokens)), int(sum(unknown)))
