"""tf.data from transformed examples to length-bucketed batches."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.transform import TOKEN_IDS
from schema.features import LABEL

_FEATURES = {
    TOKEN_IDS: tf.io.RaggedFeature(tf.int64),
    LABEL: tf.io.FixedLenFeature([], tf.int64),
}


def _parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    example = tf.io.parse_single_example(serialized, _FEATURES)
    return example[TOKEN_IDS], example[LABEL]


def read_examples(file_patterns: Sequence[str]) -> tf.data.Dataset:
    """Transformed examples of gzipped TFRecord files, in file order.

    Returns:
        Dataset of (token ids int64 [tokens], label int64 []), cached in memory once read through.
    """
    files = sorted(name for pattern in file_patterns for name in tf.io.gfile.glob(pattern))
    return tf.data.TFRecordDataset(files, compression_type="GZIP").map(_parse, tf.data.AUTOTUNE).cache()


def token_counts(examples: tf.data.Dataset) -> np.ndarray:
    """Number of tokens of each example, int32 [rows]."""
    counts = examples.map(lambda token_ids, _: tf.shape(token_ids)[0]).batch(4096)
    return np.concatenate([np.zeros(0, np.int32), *counts.as_numpy_iterator()])


def count_batches(counts: np.ndarray, *, batch_size: int, boundaries: Sequence[int]) -> int:
    """How many batches `bucketed_batches` makes of examples of these token counts."""
    rows_by_bucket = np.bincount(np.digitize(counts, boundaries)) if len(boundaries) else np.array([len(counts)])
    return int(np.ceil(rows_by_bucket / batch_size).sum())


def bucketed_batches(
    examples: tf.data.Dataset, *, batch_size: int, boundaries: Sequence[int], shuffle_rows: int = 0, seed: int = 0
) -> tf.data.Dataset:
    """Batches of texts of similar length, so that little of a batch is padding.

    Args:
        examples: what `read_examples` gives.
        batch_size: rows of a batch; the last ones of each bucket may be smaller.
        boundaries: token counts at which the next bucket begins.
        shuffle_rows: rows shuffled among each other, anew each epoch; 0 keeps the order.
        seed: seed of the shuffling.

    Returns:
        Dataset of (token ids int64 [batch, time] right-padded with 0, label int64 [batch]).
    """
    if shuffle_rows:
        examples = examples.shuffle(shuffle_rows, seed=seed, reshuffle_each_iteration=True)
    batches = examples.bucket_by_sequence_length(
        lambda token_ids, _: tf.shape(token_ids)[0],
        bucket_boundaries=list(boundaries),
        bucket_batch_sizes=[batch_size] * (len(boundaries) + 1),
    )
    return batches.prefetch(tf.data.AUTOTUNE)
