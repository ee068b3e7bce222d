"""Classifies files offline with a SavedModel, as one Beam pipeline around RunInference, for any number of rows.

One worker reads and streams each input file, so give a cluster several files. Rows that cannot be classified are
written to quarantine with their reasons. An output that exists is complete.
"""

import datetime
import gzip
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from schema.errors import DataError
from schema.features import DESCRIPTION, ID, TITLE
from schema.interruption import uninterruptible
from schema.model_contract import CLASSES, PROBABILITIES, SAVED_MODEL, SERVING_DEFAULT
from schema.news_items import TEXT_COLUMNS, Classification, NewsItem, split_into_columns
from schema.paths import is_remote, list_files, refuse_wildcards
from schema.record_count import count_tfrecords
from serving.item_files import BadRow, ItemRow, read_items, validate_item

PREDICTIONS = "predictions"
QUARANTINE = "quarantine"
SUMMARY = "summary.json"
# Beam's batches are split into texts of similar length, which need the least padding.
_BATCH_ROWS = 1024
_STEP_ROWS = 64


@dataclass(frozen=True)
class BatchSummary:
    """The summary of a finished job, stored in `summary.json`, which is written last."""

    model: str
    files: tuple[str, ...]
    rows_scored: int
    rows_quarantined: int
    finished: str


def score_files(
    patterns: Sequence[str],
    model: str,
    output: str,
    beam_args: Sequence[str],
    *,
    clock: Callable[[], datetime.datetime],
) -> BatchSummary:
    """Classifies all rows of the files and writes the results to a new directory.

    It contains `predictions-*.jsonl` (file, row, id, label, probability, probabilities, model_version),
    `quarantine-*.jsonl` (file, row, reason) and `summary.json`. A local directory appears in one step when everything
    is written. An object store cannot rename; there, `summary.json` shows that the output is complete.

    Args:
        patterns: files, or patterns of files for `schema.paths.list_files`, in CSV or JSON Lines (see
            `serving.item_files`), gzipped if the name ends in `.gz`, or TFRecords of tf.Examples if the name contains
            `tfrecord`; local paths, or URIs that Beam can read.
        model: directory of a SavedModel; its name is the version in the output if it is a number. This and the other
            local paths may be relative to the working directory. Workers of a cluster have another working directory,
            so they receive and report absolute paths.
        output: directory to create.
        beam_args: options of the Beam pipeline.
        clock: returns the current time.

    Raises:
        DataError: there is no such file or model, the output exists, or a file cannot be read to its end.
        Interrupted: the process received a signal to end; no output appears after it.
        SettingsError: TensorFlow or Beam would expand the model's or the output's directory as a pattern.
    """
    files = matching_files(patterns)
    model, output = _absolute(model), _absolute(output)
    refuse_wildcards("the model", model)
    refuse_wildcards("the output directory", output)
    if not FileSystems.exists(os.path.join(model, SAVED_MODEL)):
        raise DataError(f"{model}: no SavedModel there; name the directory of a version")
    columns = _text_columns(model)
    if FileSystems.exists(output):
        raise DataError(f"{output} is there already; name a directory to be made")
    local = not is_remote(output)
    final = Path(output)
    writing = str(final.with_name(f".{final.name}.incoming-{uuid.uuid4().hex}")) if local else output
    try:
        with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
            _score(pipeline, files, model, columns, writing)
        scored, quarantined = (_count(pipeline.result, name) for name in (PREDICTIONS, QUARANTINE))
        summary = BatchSummary(model, tuple(files), scored, quarantined, clock().isoformat())
        with uninterruptible():
            with FileSystems.create(f"{writing}/{SUMMARY}", compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(json.dumps(asdict(summary), indent=2).encode())
            if local:
                os.rename(writing, final)
    except DataError as error:
        # Beam appends the name of its transform, which does not help users.
        raise DataError(str(error).partition(" [while running ")[0]) from error
    finally:
        if local:
            shutil.rmtree(writing, ignore_errors=True)
    return summary


def matching_files(patterns: Sequence[str]) -> list[str]:
    """Lists the files that names and patterns select.

    Raises:
        DataError: a pattern selects no file.
    """
    files: list[str] = []
    for pattern in patterns:
        place = _absolute(pattern)
        if FileSystems.exists(place) and not os.path.isdir(place):  # The name may contain any characters.
            found = [place]
        else:
            found = list_files("" if is_remote(pattern) else os.getcwd(), pattern)
        if not found:
            raise DataError(f"{pattern}: no such file; name files, or a quoted pattern like 'texts-*.csv'")
        files += map(_absolute, found)
    return files


def _absolute(place: str) -> str:
    return place if is_remote(place) else os.path.abspath(place)


def _text_columns(model: str) -> tuple[str, ...]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    from serving.saved_model import read_text_columns

    try:
        return read_text_columns(model)
    except (tf.errors.OpError, DecodeError) as error:
        raise DataError(f"{model}: cannot read the SavedModel: {error}; name another version") from error


def _score(pipeline: beam.Pipeline, files: list[str], model: str, columns: Sequence[str], directory: str) -> None:
    rows = (
        pipeline
        | "Files" >> beam.Create(files)
        # Without this, a runner fuses the list with all later steps, and one worker does everything. The rows
        # themselves are not shuffled, since a runner in memory would hold all of them.
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.FlatMap(read_file, columns)
        | "Part" >> beam.ParDo(_Part()).with_outputs(QUARANTINE, main=PREDICTIONS)
    )
    scored = rows[PREDICTIONS] | "Score" >> RunInference(SignatureHandler(model, columns))
    for name, lines in (
        (PREDICTIONS, scored | "PredictionToJson" >> beam.Map(_prediction_line)),
        (QUARANTINE, rows[QUARANTINE] | "BadRowToJson" >> beam.Map(_quarantine_line)),
    ):
        lines | f"Write[{name}]" >> beam.io.WriteToText(f"{directory}/{name}", ".jsonl", skip_if_empty=True)


def read_file(file: str, columns: Sequence[str] = TEXT_COLUMNS) -> Iterator[ItemRow | BadRow]:
    """Yields the rows of one file in any format that `score_files` accepts; `columns` as for `read_items`."""
    if "tfrecord" in os.path.basename(file):
        yield from _read_examples(file)
    else:
        with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as opened:
            yield from read_items(opened, file, columns)


def _read_examples(file: str) -> Iterator[ItemRow | BadRow]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    number = 0
    try:
        records = tf.data.TFRecordDataset(file, "GZIP" if file.endswith(".gz") else "")
        for number, record in enumerate(records.as_numpy_iterator(), start=1):
            try:
                features = tf.train.Example.FromString(record).features.feature
            except DecodeError as error:
                yield BadRow(file, number, f"no tf.Example: {error}")
                continue
            values = {name: features[name].bytes_list.value for name in (ID, TITLE, DESCRIPTION)}
            if repeated := [name for name, found in values.items() if len(found) > 1]:
                yield BadRow(file, number, f"{', '.join(repeated)} has more than one value")
                continue
            texts = {name: b"".join(found).decode("utf-8", "surrogateescape") for name, found in values.items()}
            yield validate_item(file, number, NewsItem(texts[TITLE], texts[DESCRIPTION]), texts[ID] or None)
        # TensorFlow takes a truncated record for the end of the file.
        with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as opened:
            held = count_tfrecords(cast(IO[bytes], gzip.GzipFile(fileobj=opened)) if file.endswith(".gz") else opened)
        if number != held:
            raise DataError(f"{file}: complete records: {number} of {held}; put a whole file in its place")
    except (tf.errors.OpError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: broken after record {number}: {error}; put a whole file in its place") from error


class _Part(beam.DoFn):
    """Separates valid from invalid rows and counts both."""

    def __init__(self) -> None:
        self._scored, self._bad = (Metrics.counter(__name__, name) for name in (PREDICTIONS, QUARANTINE))

    def process(self, row: ItemRow | BadRow) -> Iterator[Any]:
        if isinstance(row, BadRow):
            self._bad.inc()
            yield beam.pvalue.TaggedOutput(QUARANTINE, row)
        else:
            self._scored.inc()
            yield row


def _count(result: Any, name: str) -> int:
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(__name__).with_name(name))
    return sum(counter.result for counter in counters["counters"])


class SignatureHandler(ModelHandler[ItemRow, tuple[ItemRow, Classification], Any]):
    """Runs the signature `SERVING_DEFAULT` of a SavedModel; Beam's own handler loads only Keras models."""

    def __init__(self, model: str, columns: Sequence[str]):
        super().__init__(min_batch_size=_STEP_ROWS, max_batch_size=_BATCH_ROWS)
        self._columns = columns
        self._model = model
        name = os.path.basename(model.rstrip("/"))
        self._version = int(name) if name.isdecimal() else 0  # TensorFlow Serving accepts only numbers.

    def load_model(self) -> Any:
        """Loads the signature.

        Raises:
            DataError: the model lacks the signature, or the signature has other inputs or outputs.
        """
        import tensorflow as tf

        loaded = tf.saved_model.load(self._model)
        signature = loaded.signatures.get(SERVING_DEFAULT)
        found = sorted([*signature.structured_input_signature[1], *signature.structured_outputs]) if signature else []
        if missing := {*(self._columns or TEXT_COLUMNS), CLASSES, PROBABILITIES} - set(found):
            raise DataError(
                f"{self._model}: its signature {SERVING_DEFAULT} lacks {', '.join(sorted(missing))}; "
                "name a model that this pipeline exported"
            )
        signature.keep = loaded  # A signature holds only weak references to its variables.
        return signature

    def run_inference(
        self, batch: Sequence[ItemRow], model: Any, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[tuple[ItemRow, Classification]]:
        """Classifies a batch, shortest texts first."""
        import tensorflow as tf

        ordered = sorted(batch, key=lambda row: len(row.item.title) + len(row.item.description))
        for start in range(0, len(ordered), _STEP_ROWS):
            rows = ordered[start : start + _STEP_ROWS]
            texts = split_into_columns(self._columns, ((row.item.title, row.item.description) for row in rows))
            outputs = model(**{name: tf.constant(values) for name, values in texts.items()})
            names, probabilities = outputs[CLASSES].numpy(), outputs[PROBABILITIES].numpy()
            for row, row_names, values in zip(rows, names, probabilities.tolist(), strict=True):
                yield row, Classification.of([name.decode() for name in row_names], values, self._version)

    def get_num_bytes(self, batch: Sequence[ItemRow]) -> int:
        """Returns the number of characters in the batch, a metric of Beam, whose default would pickle each batch."""
        return sum(len(text) for row in batch for text in (row.item.title, row.item.description))


def _prediction_line(scored: tuple[ItemRow, Classification]) -> str:
    row, answer = scored
    return json.dumps({"file": row.file, "row": row.number, "id": row.id, **vars(answer)})


def _quarantine_line(row: BadRow) -> str:
    return json.dumps({"file": row.file, "row": row.number, "reason": row.reason})
