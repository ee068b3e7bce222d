"""Reads transformed examples.

Rows that fit into memory are held there as token ids (76,416 rows take 13 MB): an epoch's order is a true permutation,
and the number of batches is known in advance. More rows than that are streamed in each pass, in windows.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from components.trainer.batches import TokenizedRows, join_texts
from schema.features import LABEL
from schema.model_contract import TITLE_TOKENS, TOKEN_IDS
from schema.paths import list_files

_NUMBER = tf.io.FixedLenFeature([], tf.int64)
_FEATURES = {TOKEN_IDS: tf.io.RaggedFeature(tf.int64), TITLE_TOKENS: _NUMBER, LABEL: _NUMBER}
_READ_BATCH = 4096
_FILES_AT_ONCE = 16


@dataclass(frozen=True)
class StreamedRows:
    """Rows that stay in their files, with the interface that `TokenizedRows` has for a training.

    A window takes one row of each file in turn. Each pass shuffles within the windows, whose rows stay the same, so the
    number of batches stays the same too. At most two windows are in memory: the one in use and the one being read.

    Attributes:
        files: gzipped TFRecord files of transformed examples.
        window: number of rows per window.
        count: total number of rows.
        digest: SHA-256 of the rows in the order of the files, hexadecimal.
        titles_only: whether to omit descriptions.
    """

    files: tuple[str, ...]
    window: int
    count: int
    digest: str
    titles_only: bool = False

    def __len__(self) -> int:
        return self.count

    def windows(self) -> Iterator[TokenizedRows]:
        """Yields each row once, in windows."""
        for window in _read_windows(list(self.files), self.window):
            yield window.titles() if self.titles_only else window

    def sample(self) -> TokenizedRows:
        """Returns the first window, whose rows come from many files."""
        return next(self.windows())

    def titles(self) -> "StreamedRows":
        """Returns the same rows without their descriptions."""
        return replace(self, titles_only=True)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of the rows, hexadecimal."""
        return f"{self.digest}{' titles' if self.titles_only else ''}"


def open_rows(file_patterns: Sequence[str], *, max_memory_rows: int) -> TokenizedRows | StreamedRows:
    """Opens training rows: in memory if they fit, otherwise streamed.

    Args:
        file_patterns: patterns of gzipped TFRecord files of transformed examples.
        max_memory_rows: maximum number of rows in memory at once.
    """
    files = list_matching_files(file_patterns)
    # Counting first keeps at most `max_memory_rows` in memory; reading first could hold twice as many.
    if _read_records(files).take(max_memory_rows + 1).reduce(0, lambda count, _: count + 1) <= max_memory_rows:
        return read_rows(file_patterns)
    window = max(1, max_memory_rows // 2)
    count, digest = 0, hashlib.sha256()
    for rows in _read_windows(files, window):
        count += len(rows)
        digest.update(rows.fingerprint().encode())
    return StreamedRows(tuple(files), window, count, digest.hexdigest())


def read_rows(file_patterns: Sequence[str]) -> TokenizedRows:
    """Reads transformed examples from gzipped TFRecord files.

    Beam writes the same examples in a different order each time, so the rows are sorted: the same data and seed give
    the same training, whichever run wrote the files.
    """
    records = tf.data.TFRecordDataset(list_matching_files(file_patterns), compression_type="GZIP")
    return sort_rows(decode_rows(parse_examples(records, _READ_BATCH)))


def list_matching_files(patterns: Sequence[str]) -> list[str]:
    """Returns the sorted files that the patterns match; only the last part of a pattern may hold wildcards."""
    return sorted(name for pattern in patterns for name in list_files(*os.path.split(pattern)))


def parse_examples(records: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    """Maps serialized examples to batches of their features."""
    return records.batch(batch).map(lambda serialized: tf.io.parse_example(serialized, _FEATURES))


def decode_rows(batches: Iterable[Mapping[str, Any]]) -> TokenizedRows:
    """Returns the rows of parsed batches, in the same order."""
    texts, numbers = [], [np.zeros((0, 2), np.int64)]
    for examples in batches:
        ids = examples[TOKEN_IDS].flat_values.numpy().astype(np.int32)
        texts += np.split(ids, examples[TOKEN_IDS].row_limits().numpy()[:-1])
        numbers.append(np.stack([examples[TITLE_TOKENS], examples[LABEL]], axis=1))
    title_counts, labels = np.concatenate(numbers).T
    return join_texts(texts, title_counts, labels)


def sort_rows(rows: TokenizedRows) -> TokenizedRows:
    """Returns the same rows, sorted by content."""
    texts = np.split(rows.token_ids, rows.offsets[1:-1]) if len(rows) else []
    order = sorted(range(len(rows)), key=lambda row: (texts[row].tobytes(), rows.title_counts[row], rows.labels[row]))
    return rows.select(np.array(order, np.int64))


def _read_windows(files: list[str], size: int) -> Iterator[TokenizedRows]:
    batch = min(_READ_BATCH, size)
    batches = iter(parse_examples(_read_records(files), batch))
    while len(rows := decode_rows(itertools.islice(batches, size // batch))):
        yield rows


def _read_records(files: list[str]) -> tf.data.Dataset:
    """Returns serialized examples, taking one from each file in turn."""
    return tf.data.Dataset.from_tensor_slices(files).interleave(
        lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
        cycle_length=min(_FILES_AT_ONCE, max(1, len(files))),
        num_parallel_calls=1,
        deterministic=True,
    )
