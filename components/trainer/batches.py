"""Holds tokenized rows and makes length-bucketed batches of them, with TensorFlow and NumPy alone."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from schema.model_contract import PADDING_ID

if TYPE_CHECKING:
    from components.trainer.input_pipeline import StreamedRows


@dataclass(frozen=True)
class TokenizedRows:
    """Token ids of texts of different lengths, concatenated in one array.

    Attributes:
        token_ids: int32 [tokens of all rows].
        offsets: int64 [rows + 1]; row i is `token_ids[offsets[i] : offsets[i + 1]]`.
        title_counts: int64 [rows], number of leading tokens of each row that belong to its title.
        labels: int64 [rows].
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    title_counts: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def token_counts(self) -> np.ndarray:
        """Number of tokens per row, int64 [rows]."""
        return np.diff(self.offsets)

    def windows(self) -> Iterator["TokenizedRows"]:
        """Yields all rows at once; `StreamedRows` yields them in several windows."""
        yield self

    def sample(self) -> "TokenizedRows":
        """Returns the rows that are large enough a sample for measurements: here, all rows."""
        return self

    def select(self, indices: np.ndarray) -> "TokenizedRows":
        """Returns the rows with the given indices, in that order."""
        texts = [self.token_ids[self.offsets[index] : self.offsets[index + 1]] for index in indices]
        return join_texts(texts, self.title_counts[indices], self.labels[indices])

    def titles(self) -> "TokenizedRows":
        """Returns the same rows without their descriptions."""
        texts = [
            self.token_ids[start : start + count]
            for start, count in zip(self.offsets[:-1], self.title_counts, strict=True)
        ]
        return join_texts(texts, self.title_counts, self.labels)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of the rows, hexadecimal."""
        digest = hashlib.sha256()
        for array in (self.token_ids, self.offsets, self.title_counts, self.labels):
            digest.update(array.tobytes())
        return digest.hexdigest()


def join_texts(texts: Sequence[np.ndarray], title_counts: np.ndarray, labels: np.ndarray) -> TokenizedRows:
    """Concatenates the token ids of texts, int32 each."""
    offsets = np.cumsum([0, *map(len, texts)])
    return TokenizedRows(np.concatenate([np.zeros(0, np.int32), *texts]), offsets, title_counts, labels)


@dataclass(frozen=True)
class Buckets:
    """Splits rows by length into batches of about the same number of tokens.

    Attributes:
        boundaries: token counts at which the next bucket begins; () for one bucket.
        batch_tokens: tokens per batch, padding included. Batches of shorter texts have more rows, so each step does
            about the same work.
    """

    boundaries: tuple[int, ...]
    batch_tokens: int

    def split(self, rows: TokenizedRows) -> list[tuple[np.ndarray, int]]:
        """Returns the indices of the rows of each non-empty bucket, in order, and its number of rows per batch."""
        counts = rows.token_counts
        bucket_of_row = np.digitize(counts, self.boundaries)
        buckets = [np.flatnonzero(bucket_of_row == bucket) for bucket in range(len(self.boundaries) + 1)]
        return [(bucket, max(1, self.batch_tokens // int(counts[bucket].max()))) for bucket in buckets if len(bucket)]

    def batch_count(self, rows: "TokenizedRows | StreamedRows") -> int:
        """Returns the number of batches that the rows fill."""
        return sum(-(-len(bucket) // size) for window in rows.windows() for bucket, size in self.split(window))


def bucketed_batches(
    rows: "TokenizedRows | StreamedRows",
    buckets: Buckets,
    *,
    seed: int | None = None,
    first_pass: int = 0,
    count: int | None = None,
) -> tf.data.Dataset:
    """Makes batches of texts of similar length, which need little padding.

    Args:
        rows: the texts.
        buckets: how to split them by length.
        seed: seed that shuffles rows and batches differently in each pass; None keeps their order.
        first_pass: number of the first pass; pass n always has the same order for the same seed.
        count: number of batches if known; counting the batches of streamed rows takes a pass over the files.

    Returns:
        Dataset of (token ids int32 [batch, time] right-padded with 0, label int64 [batch]); a pass yields each row
        once.
    """
    passes = itertools.count(first_pass)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        generator = None if seed is None else np.random.default_rng((seed, next(passes)))
        for window in rows.windows():
            batches = []
            for bucket, size in buckets.split(window):
                order = bucket if generator is None else generator.permutation(bucket)
                batches += [order[start : start + size] for start in range(0, len(order), size)]
            for index in range(len(batches)) if generator is None else generator.permutation(len(batches)):
                yield _pad(window, batches[index]), window.labels[batches[index]]

    signature = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int64)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    count = buckets.batch_count(rows) if count is None else count
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(tf.data.AUTOTUNE)


def _pad(rows: TokenizedRows, indices: np.ndarray) -> np.ndarray:
    counts = rows.offsets[indices + 1] - rows.offsets[indices]
    batch = np.full((len(indices), counts.max()), PADDING_ID, np.int32)
    for position, index in enumerate(indices):
        batch[position, : counts[position]] = rows.token_ids[rows.offsets[index] : rows.offsets[index + 1]]
    return batch
