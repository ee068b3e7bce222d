"""Training rows beyond memory: read anew in each pass, in windows, interleaved and shuffled across their files."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from components.trainer.input_pipeline import READ_BATCH, TokenizedRows, decoded, files_of, parsed, read_rows

_FILES_AT_ONCE = 16


@dataclass(frozen=True)
class StreamedRows:
    """Rows that stay in their files; what a training asks of them is what it asks of TokenizedRows.

    A window takes a row of each file in turn, and each pass shuffles within the windows, which stay the same: so the
    number of batches does, too. At most two windows are in memory: the one that is trained on, and the one that is
    being read.

    Attributes:
        files: gzipped TFRecord files of transformed examples.
        window: rows of a window.
        count: rows in all.
        digest: SHA-256 of the rows in the order of the files, hexadecimal.
        titles_only: leave descriptions out.
    """

    files: tuple[str, ...]
    window: int
    count: int
    digest: str
    titles_only: bool = False

    def __len__(self) -> int:
        return self.count

    def windows(self) -> Iterator[TokenizedRows]:
        """All rows once, in windows."""
        for window in _windows(list(self.files), self.window):
            yield window.titles() if self.titles_only else window

    def sample(self) -> TokenizedRows:
        """A window's rows, of many files."""
        return next(self.windows())

    def titles(self) -> "StreamedRows":
        """The same rows without their descriptions."""
        return replace(self, titles_only=True)

    def fingerprint(self) -> str:
        """SHA-256 of the rows, hexadecimal."""
        return f"{self.digest}{' titles' if self.titles_only else ''}"


def open_rows(file_patterns: Sequence[str], *, max_memory_rows: int) -> TokenizedRows | StreamedRows:
    """The rows, in memory where they fit.

    Args:
        file_patterns: gzipped TFRecord files of transformed examples.
        max_memory_rows: how many may be in memory at once.
    """
    files = files_of(file_patterns)
    # Counted before they are held: else twice as many could be.
    if _records(files).take(max_memory_rows + 1).reduce(0, lambda count, _: count + 1) <= max_memory_rows:
        return read_rows(file_patterns)
    window = max(1, max_memory_rows // 2)
    count, digest = 0, hashlib.sha256()
    for rows in _windows(files, window):
        count += len(rows)
        digest.update(rows.fingerprint().encode())
    return StreamedRows(tuple(files), window, count, digest.hexdigest())


def _windows(files: list[str], size: int) -> Iterator[TokenizedRows]:
    batch = min(READ_BATCH, size)
    batches = iter(parsed(_records(files), batch))
    while len(rows := decoded(itertools.islice(batches, size // batch))):
        yield rows


def _records(files: list[str]) -> tf.data.Dataset:
    """Serialized examples, one of each file in turn."""
    return tf.data.Dataset.from_tensor_slices(files).interleave(
        lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
        cycle_length=min(_FILES_AT_ONCE, max(1, len(files))),
        num_parallel_calls=1,
        deterministic=True,
    )
