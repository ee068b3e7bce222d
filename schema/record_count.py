"""Counts the lines, rows or records of files without parsing them, to check that a reader read everything."""

import gzip
import os
from typing import IO

# Maps both line ends to "\n" and any other byte to "x", so a non-empty line begins at each "\nx".
_SHAPE = bytes(ord("\n") if byte in b"\r\n" else ord("x") for byte in range(256))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHUNK_BYTES = 1 << 20
_TFRECORD_LENGTH_BYTES = 8
# A checksum follows the length of a TFRecord, and another one its data.
_TFRECORD_CHECKSUM_BYTES = 4


def count_lines(file: str) -> int:
    """Counts the non-empty lines of a text file with any line ends; a file whose name ends in `.gz` is gzipped."""
    with gzip.open(file) if file.endswith(".gz") else open(file, "rb") as opened:
        count, before = 0, b"\n"
        chunk = opened.read(_CHUNK_BYTES).removeprefix(_BYTE_ORDER_MARK)
        while chunk:
            shape = before + chunk.translate(_SHAPE)
            count += shape.count(b"\nx")
            before = shape[-1:]
            chunk = opened.read(_CHUNK_BYTES)
        return count


def count_parquet_rows(file: str) -> int:
    """Returns the number of rows in the footer of a Parquet file."""
    import pyarrow.parquet as pq

    return pq.read_metadata(file).num_rows


def count_tfrecords(opened: IO[bytes]) -> int:
    """Counts the records of a TFRecord file, including a truncated one, which TensorFlow's reader ignores."""
    count = 0
    while length := opened.read(_TFRECORD_LENGTH_BYTES):
        opened.seek(int.from_bytes(length, "little") + 2 * _TFRECORD_CHECKSUM_BYTES, os.SEEK_CUR)
        count += 1
    return count
