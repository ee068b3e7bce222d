"""Counts what files hold without reading rows, to check that a reader left nothing over."""

import gzip
import os
from typing import IO

# Both line ends are "\n" and any other byte is "x": a line that is not empty begins at each "\nx".
_SHAPE = bytes(ord("\n") if byte in b"\r\n" else ord("x") for byte in range(256))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHUNK_BYTES = 1 << 20
_TFRECORD_LENGTH_BYTES = 8
# The length and the data of a TFRecord are followed by a checksum each.
_TFRECORD_CHECKSUM_BYTES = 4


def count_lines(file: str) -> int:
    """Lines of a text file that are not empty, whatever their ends; gzipped when its name ends in `.gz`."""
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
    """Rows of a Parquet file, as its footer says."""
    import pyarrow.parquet as pq

    return pq.read_metadata(file).num_rows


def count_tfrecords(opened: IO[bytes]) -> int:
    """Records of a TFRecord file, by their lengths. A cut one counts, which TensorFlow's reader takes for the end."""
    count = 0
    while length := opened.read(_TFRECORD_LENGTH_BYTES):
        opened.seek(int.from_bytes(length, "little") + 2 * _TFRECORD_CHECKSUM_BYTES, os.SEEK_CUR)
        count += 1
    return count
