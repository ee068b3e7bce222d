"""From transformed examples to length-bucketed batches.

All token ids are held in memory (76,416 rows take 13 MB): an epoch's order is a true permutation, and the
number of batches is known before.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.transform import PADDING_ID, TOKEN_IDS
from schema.features import LABEL

_FEATURES = {TOKEN_IDS: tf.io.RaggedFeature(tf.int64), LABEL: tf.io.FixedLenFeature([], tf.int64)}
_READ_BATCH = 4096


@dataclass(frozen=True)
class TokenizedRows:
    """Texts of different lengths, one after the other.

    Attributes:
        token_ids: int32 [tokens of all rows].
        offsets: int64 [rows + 1]; row i is `token_ids[offsets[i] : offsets[i + 1]]`.
        labels: int64 [rows].
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def token_counts(self) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""
        return np.diff(self.offsets)


def read_rows(file_patterns: Sequence[str]) -> TokenizedRows:
    """Reads transformed examples from gzipped TFRecord files.

    Beam writes the same examples in another order each time, so they are sorted: the same data and seed give the same
    training, whichever run made the files.
    """
    files = sorted(name for pattern in file_patterns for name in tf.io.gfile.glob(pattern))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_READ_BATCH)
    ids, counts, labels = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)], [np.zeros(0, np.int64)]
    for examples in records.map(lambda serialized: tf.io.parse_example(serialized, _FEATURES)):
        ids.append(examples[TOKEN_IDS].flat_values.numpy().astype(np.int32))
        counts.append(examples[TOKEN_IDS].row_lengths().numpy())
        labels.append(examples[LABEL].numpy())
    return _sorted(TokenizedRows(np.concatenate(ids), np.cumsum(np.concatenate(counts)), np.concatenate(labels)))


def _sorted(rows: TokenizedRows) -> TokenizedRows:
    texts = [rows.token_ids[start:end] for start, end in itertools.pairwise(rows.offsets)]
    order = sorted(range(len(rows)), key=lambda index: (texts[index].tobytes(), rows.labels[index]))
    ids = np.concatenate([np.zeros(0, np.int32), *(texts[index] for index in order)])
    counts = np.concatenate([np.zeros(1, np.int64), rows.token_counts[order]])
    return TokenizedRows(ids, np.cumsum(counts), rows.labels[order])


def count_batches(rows: TokenizedRows, *, batch_size: int, boundaries: Sequence[int]) -> int:
    """How many batches `bucketed_batches` makes of these rows."""
    return sum(-(-len(bucket) // batch_size) for bucket in _buckets(rows, boundaries))


def bucketed_batches(
    rows: TokenizedRows, *, batch_size: int, boundaries: Sequence[int], seed: int | None = None
) -> tf.data.Dataset:
    """Batches of texts of similar length, so that little of a batch is padding.

    Args:
        rows: the texts.
        batch_size: rows of a batch; the last one of each bucket may be smaller.
        boundaries: token counts at which the next bucket begins.
        seed: shuffles rows and batches, in each pass anew; None keeps their order.

    Returns:
        Dataset of (token ids int32 [batch, time] right-padded with 0, label int64 [batch]); a pass holds each row once.
    """
    buckets = _buckets(rows, boundaries)
    generator = None if seed is None else np.random.default_rng(seed)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        orders = buckets if generator is None else [generator.permutation(bucket) for bucket in buckets]
        parts = [order[start : start + batch_size] for order in orders for start in range(0, len(order), batch_size)]
        for index in range(len(parts)) if generator is None else generator.permutation(len(parts)):
            yield _padded(rows, parts[index]), rows.labels[parts[index]]

    signature = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int64)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    count = count_batches(rows, batch_size=batch_size, boundaries=boundaries)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(tf.data.AUTOTUNE)


def _buckets(rows: TokenizedRows, boundaries: Sequence[int]) -> list[np.ndarray]:
    """Indices of the rows of each bucket, in their order."""
    bucket_of_row = np.digitize(rows.token_counts, boundaries)
    return [np.flatnonzero(bucket_of_row == bucket) for bucket in range(len(boundaries) + 1)]


def _padded(rows: TokenizedRows, indices: np.ndarray) -> np.ndarray:
    counts = rows.offsets[indices + 1] - rows.offsets[indices]
    batch = np.full((len(indices), counts.max()), PADDING_ID, np.int32)
    for position, index in enumerate(indices):
        batch[position, : counts[position]] = rows.token_ids[rows.offsets[index] : rows.offsets[index + 1]]
    return batch
