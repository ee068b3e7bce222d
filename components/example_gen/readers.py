"""Reads the training data in any format, and checks that every part of a file was read."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from components.example_gen.csv_reader import read_csv
from components.example_gen.row_format import EXPECTED, RowFormat
from components.example_gen.rows import LabelledItem, NoRow, RawRow, RejectedRow, parse_label, validate_row
from schema import record_count
from schema.csv_records import refuse_repeated_columns
from schema.errors import DataError
from schema.news_items import RejectReason
from schema.text_files import TextFile, parse_object, refuse_other_form

FORMATS = ".csv, .tsv and .jsonl, each also as .gz, .parquet, and TFRecord files of TFDS (…tfrecord…)"
_FEW = 1_000
_CSV, _JSON = (".csv", ".csv.gz", ".tsv", ".tsv.gz"), (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")


def read_rows(file: str, row_format: RowFormat = RowFormat()) -> Iterator[RawRow | RejectedRow]:  # noqa: B008
    """Reads a file in any format of the training data; the file name determines the format.

    Every non-empty line of a CSV file and every record of other formats belongs to exactly one row, rejected row or
    header, or is blank. After the last row, the number of lines or records is compared with an independent count.

    Args:
        file: local path.
        row_format: columns and classes.

    Raises:
        DataError: the format is unknown, the file is broken, or a part of it was not read.
    """
    name = os.path.basename(file)
    if name.endswith(_CSV):
        return _read_all(
            file, partial(read_csv, row_format=row_format), record_count.count_lines, "lines that are not empty"
        )
    if name.endswith(_JSON):
        read = partial(_read_json_lines, row_format=row_format)
        return _read_all(file, read, record_count.count_lines, "lines that are not empty")
    if name.endswith(".parquet"):
        return _read_all(file, partial(_read_parquet, row_format=row_format), record_count.count_parquet_rows, "rows")
    if "tfrecord" in name:
        return _read_all(file, partial(_read_tfds, row_format=row_format), _count_tfrecords, "records")
    raise DataError(f"{file}: unknown format; supported formats: {FORMATS}")


def read_few_items(file: str, row_format: RowFormat, max_chars: int) -> list[LabelledItem]:
    """Reads a small file in which every row must be good.

    Args:
        file: local path.
        row_format: columns and classes.
        max_chars: maximum number of characters of a row.

    Raises:
        DataError: as `read_rows`, or the file has no rows, more than 1,000, or a bad one; the message names it.
    """
    items = []
    for row in read_rows(file, row_format):
        item = validate_row(row, max_chars=max_chars, class_names=row_format.class_names)
        if isinstance(item, RejectedRow):
            raise DataError(f"{file}, row {item.number}: {item.reason}: {item.detail}; correct it there")
        items.append(item)
        if len(items) > _FEW:
            raise DataError(f"{file} has more than {_FEW:,} rows; keep the important ones")
    if not items:
        raise DataError(f"{file} has no rows; add some, each with a class")
    return items


def _read_all(
    file: str,
    read: Callable[[str], Iterator[RawRow | RejectedRow | NoRow]],
    count: Callable[[str], int],
    unit: str,
) -> Iterator[RawRow | RejectedRow]:
    covered = 0
    for row in read(file):
        covered += row.lines
        if not isinstance(row, NoRow):
            yield row
    try:
        held = count(file)
    except (OSError, EOFError) as error:
        raise DataError(f"{file} changed while it was read: {error}; run again when it no longer changes") from error
    if covered != held:
        raise DataError(
            f"{file} has {held:,} {unit}, but the reader covered {covered:,}. Either the file changed meanwhile, or "
            "the reader has a bug: run again, and report the file if the message persists"
        )


def _read_json_lines(file: str, row_format: RowFormat) -> Iterator[RawRow | RejectedRow | NoRow]:
    """Reads one object per line; the first object determines the columns. Yields `NoRow` for blank lines."""
    columns = None
    try:
        with open(file, "rb") as opened:
            text = TextFile(opened, file, f"JSON Lines in UTF-8, each object with {EXPECTED}")
            for number, line in enumerate(text, start=1):
                if line.isspace():
                    yield NoRow(int(bool(line.strip(b"\r\n"))))
                    continue
                values = parse_object(line)
                if isinstance(values, str):
                    yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, values)
                    continue
                if columns is None:
                    columns = row_format.find_columns(list(values), file)
                if bad := [name for name in columns.texts if not isinstance(values.get(name), str | None)]:
                    yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, f"{bad[0]} is not a text")
                else:
                    yield columns.to_row(file, number, values)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; replace it with a readable file") from error


def _read_parquet(file: str, row_format: RowFormat) -> Iterator[RawRow]:
    """Reads a Parquet file with a class column and one or several text columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        _refuse_other_form(file, "a Parquet file")
        table = pq.ParquetFile(file, page_checksum_verification=True)
        own_names = {name.strip().lower(): name for name in table.schema_arrow.names}
        refuse_repeated_columns([name.strip().lower() for name in table.schema_arrow.names], own_names, file)
        columns = row_format.find_columns(list(own_names), file)
        number = 0
        others = (*columns.kept, *columns.ids)
        needed = dict.fromkeys((columns.label, *columns.texts, *others))
        for batch in table.iter_batches(columns=[own_names[name] for name in needed]):
            labels = batch.column(own_names[columns.label]).to_pylist()
            kept = [_values(batch.column(own_names[name])) for name in others]
            # As bytes: a string column may contain invalid UTF-8, and one such row must not fail the others.
            texts = [batch.column(own_names[name]).cast(pa.binary()).to_pylist() for name in columns.texts]
            for label, *values in zip(labels, *texts, *kept, strict=True):
                number += 1
                found = dict(zip((*columns.texts, *others), map(_decode, values), strict=True))
                yield columns.to_row(file, number, found | {columns.label: label})
    except (pa.ArrowException, OSError, UnicodeError) as error:  # Column names are decoded as UTF-8.
        raise DataError(f"{file}: not a readable Parquet file: {error}; replace it with a complete file") from error


def _values(column: Any) -> list[Any]:
    """Returns the values of a column; texts as bytes, since a string column may contain invalid UTF-8."""
    import pyarrow as pa

    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return (column.cast(pa.binary()) if is_text else column).to_pylist()


def _read_tfds(file: str, row_format: RowFormat) -> Iterator[RawRow | RejectedRow]:
    """Reads a TFRecord file as TensorFlow Datasets writes `ag_news_subset`."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    if kept := [*row_format.kept_columns, *filter(None, [row_format.id_column])]:
        raise DataError(
            f"{file} has no columns {', '.join(kept)}, which the schema keeps: TFRecord files have "
            "label, title and description; remove these features from the schema"
        )
    number = 0
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(file).as_numpy_iterator(), start=1):
            features = tf.train.Example.FromString(record).features.feature
            labels = features["label"].int64_list.value
            texts = [features[name].bytes_list.value for name in ("title", "description")]
            if repeated := [len(values) for values in (labels, *texts) if len(values) > 1]:
                detail = f"{repeated[0]} values of one feature, expected 1"
                yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, detail)
                continue
            title, description = (_decode(text[0] if text else None) for text in texts)
            label = labels[0] if labels else None
            number_of_class = parse_label(label, first=0, class_names=row_format.class_names)
            yield RawRow(file, number, number_of_class, title, description, str(label))
    except (tf.errors.OpError, DecodeError) as error:
        if not number and os.path.exists(file):
            _refuse_other_form(file, "TFRecords")
        raise DataError(f"{file}: broken after record {number}: {error}; replace it with a complete file") from error


def _count_tfrecords(file: str) -> int:
    with open(file, "rb") as opened:
        return record_count.count_tfrecords(opened)


def _refuse_other_form(file: str, expected: str) -> None:
    with open(file, "rb") as opened:
        head = opened.read(64)
    if not (expected == "a Parquet file" and head.startswith(b"PAR1")):
        refuse_other_form(head, file, expected)


def _decode(value: Any) -> Any:
    return "" if value is None else value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
