"""One reader a format; `read_rows` chooses by the file's name."""

import os
from collections.abc import Iterator

from components.example_gen.csv_reader import read_csv
from components.example_gen.rows import RawRow, RejectedRow, parse_label
from schema.errors import DataError

FORMATS = ".csv, .csv.gz, .parquet and TFRecord files of TFDS (…tfrecord…)"


def read_rows(file: str) -> Iterator[RawRow | RejectedRow]:
    """Rows of a file in any format that the project reads.

    Args:
        file: local path.

    Raises:
        DataError: the format is unknown, or the file is broken as a whole.
    """
    name = os.path.basename(file)
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(file)
    if name.endswith(".parquet"):
        return _read_parquet(file)
    if "tfrecord" in name:
        return _read_tfds(file)
    raise DataError(f"{file}: unknown format; read are {FORMATS}")


def _read_parquet(file: str) -> Iterator[RawRow]:
    """Rows of a Parquet file with the columns label and either title and description, or text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        names = set(table.schema_arrow.names)
        texts = ["title", "description"] if {"title", "description"} <= names else ["text"]
        if missing := {"label", *texts} - names:
            raise DataError(
                f"{file}: no column {' or '.join(sorted(missing))} among {', '.join(sorted(names))}; "
                "needed are label and either title and description, or text"
            )
        number = 0
        for batch in table.iter_batches(columns=["label", *texts]):
            labels = batch.column("label").to_pylist()
            # As bytes: a string column may hold what is no UTF-8, and one such row must not fail the others.
            columns = [batch.column(name).cast(pa.binary()).to_pylist() for name in texts]
            for label, *values in zip(labels, *columns, strict=True):
                number += 1
                title, description = [""] * (2 - len(values)) + [_decoded(value) for value in values]
                yield RawRow(file, number, parse_label(label, first=0), title, description, str(label))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable Parquet file: {error}") from error


def _read_tfds(file: str) -> Iterator[RawRow]:
    """Rows of a TFRecord file as TensorFlow Datasets writes `ag_news_subset`."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    number = 0
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(file).as_numpy_iterator(), start=1):
            features = tf.train.Example.FromString(record).features.feature
            labels = features["label"].int64_list.value
            texts = [features[name].bytes_list.value for name in ("title", "description")]
            title, description = (_decoded(text[0] if text else None) for text in texts)
            label = labels[0] if labels else None
            yield RawRow(file, number, parse_label(label, first=0), title, description, str(label))
    except (tf.errors.OpError, DecodeError) as error:
        raise DataError(f"{file}: broken after record {number}: {error}; put a whole file in its place") from error


def _decoded(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "surrogateescape")
