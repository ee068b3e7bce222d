"""The executor of ExampleGen: one Beam pipeline that reads, validates, splits and counts the rows."""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import apache_beam as beam
import tensorflow as tf
from google.protobuf import struct_pb2
from tfx.components.example_gen import write_split
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from components.example_gen.ingestion_report import QUARANTINE_FILE, IngestionReport, write_counts
from components.example_gen.readers import read_rows
from components.example_gen.row_format import RowFormat
from components.example_gen.rows import LabelledItem, RawRow, RejectedRow, validate_row
from schema.data_set import DESCRIPTION, ID, LABEL, LENGTH_BUCKET, SOURCE_ID, TEXT_LENGTH, TITLE, DataSet
from schema.errors import DataError, NothingToTrain
from schema.features import SPLITS, TEST, TRAIN
from schema.paths import list_files

logger = logging.getLogger(__name__)

_REPORT_DIRECTORY = "report_directory"
_FILE_FORMAT = write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP)


class ExampleGenExecutor(BaseExampleGenExecutor):
    """Writes the output splits train, val and test from the files of the input splits train and test."""

    def Do(self, input_dict: dict, output_dict: dict, exec_properties: dict[str, Any]) -> None:
        """Writes the splits and the quarantine file.

        Raises:
            DataError: a file is unreadable, a split has no rows, or too many rows are bad.
            NothingToTrain: the span is empty.
        """
        options = _options(exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        directory = _quarantine_directory(examples.uri)
        # TFX's Do writes the splits that it reads; here they differ.
        self._log_startup(input_dict, output_dict, exec_properties)
        # TFX's driver does not set the property that StatisticsGen passes on.
        examples.span = examples.get_int_custom_property("span")
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        try:
            with self._make_beam_pipeline() as pipeline:
                splits = self.GenerateExamplesByBeam(pipeline, exec_properties | {_REPORT_DIRECTORY: directory})
                for name, rows in splits.items():
                    rows | f"Write[{name}]" >> _write(artifact_utils.get_split_uri([examples], name))
        except DataError as error:
            # Beam appends the name of its transform, which does not help a user.
            raise DataError(str(error).partition(" [while running ")[0]) from error
        examples_utils.set_payload_format(examples, exec_properties[standard_component_specs.OUTPUT_DATA_FORMAT_KEY])
        examples_utils.set_file_format(examples, _FILE_FORMAT)
        report = IngestionReport.read(directory)
        counts = report.properties()
        if options["dated"] and not (counts["rows_train"] or counts["rows_val"] or counts["rows_quarantined"]):
            raise NothingToTrain(f"the span is empty: {_training_files(exec_properties)} contain no rows")
        report.check(options["max_bad_fraction"])
        for name, value in counts.items():
            _set_property(examples, name, value)
        _set_property(examples, "source", options["source"])
        _set_property(examples, "synthetic", int(options["synthetic"]))
        if options["synthetic"]:
            logger.warning("these rows are synthetic")
        shown = ("rows_read", "rows_train", "rows_val", "rows_test", "rows_quarantined")
        logger.info("ingested", extra={"fields": {name: counts[name] for name in shown}})

    def GenerateExamplesByBeam(self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]) -> dict[str, Any]:
        """Returns the output splits as collections of tf.Examples, by name."""
        options = _options(exec_properties)
        directory = exec_properties[_REPORT_DIRECTORY]
        input_config = _input_config(exec_properties)
        read = self.GetInputSourceToExamplePTransform()
        rows = {
            split.name: pipeline | f"Read[{split.name}]" >> read(exec_properties, split.pattern)
            for split in input_config.splits
        }
        data_set = DataSet.decode(options.get("data_set"))
        available = rows
        if max_rows := int(options.get("max_rows", 0)):
            rows = {name: collection | f"Sample[{name}]" >> _sample(max_rows) for name, collection in rows.items()}
        check_rows = beam.ParDo(_ValidateRows(int(options["max_chars"]), data_set.class_names)).with_outputs(
            "rejected", main="good"
        )
        outcomes = {name: collection | f"Check[{name}]" >> check_rows for name, collection in rows.items()}
        rejected = [outcome.rejected for outcome in outcomes.values()] | "Rejected" >> beam.Flatten()
        (
            rejected
            | "ToJson" >> beam.Map(lambda row: row.to_json())
            | "Quarantine"
            >> beam.io.WriteToText(f"{directory}/{QUARANTINE_FILE}", num_shards=1, shard_name_template="")
        )
        parts = outcomes[TRAIN].good | "Split" >> beam.Partition(
            _split_index, len(SPLITS), options["val_fraction"], options.get("test_fraction", 0.0)
        )
        splits = dict(zip(SPLITS, parts, strict=True))
        if TEST in outcomes:
            splits[TEST] = outcomes[TEST].good
        write_counts(available, rows, splits, rejected, directory)
        return {name: good | f"ToExample[{name}]" >> beam.Map(_to_example, data_set) for name, good in splits.items()}

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Returns a transform that reads the files of a pattern, as `RawRow` or as `RejectedRow` if parsing failed."""
        return _read_files


@beam.ptransform_fn
def _read_files(pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str) -> beam.PCollection:
    base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
    files = list_files(base, split_pattern)
    if not files:
        raise DataError(f"{split_pattern} matches no file under {base}; add the file, or correct the pattern")
    # Without it, an engine fuses the list with the reading, and one worker reads all files.
    options = _options(exec_properties)
    data_set = DataSet.decode(options.get("data_set"))
    row_format = replace(
        RowFormat.decode(options.get("row_format")), kept_columns=data_set.kept_columns, id_column=data_set.id_column
    )
    return pipeline | beam.Create(files) | beam.Reshuffle() | beam.FlatMap(read_rows, row_format)


@beam.ptransform_fn
def _sample(rows: beam.PCollection, count: int) -> beam.PCollection:
    """Returns at most `count` rows, the same ones for the same files."""
    return rows | beam.combiners.Top.Smallest(count, key=_sample_key) | beam.FlatMap(lambda chosen: chosen)


def _sample_key(row: RawRow | RejectedRow) -> bytes:
    return hashlib.sha256(f"{os.path.basename(row.file)}\0{row.number}".encode("utf-8", "surrogateescape")).digest()


@beam.ptransform_fn
def _write(examples: beam.PCollection, directory: str) -> beam.PCollection:
    """Writes tf.Examples like TFX's WriteSplit, but without its shuffle, which holds rows in memory."""
    place = os.path.join(directory, write_split.DEFAULT_TF_RECORD_FILE_NAME)
    rows = examples | beam.Map(lambda example: example.SerializeToString(deterministic=True))
    return rows | beam.io.WriteToTFRecord(place, file_name_suffix=".gz")


class _ValidateRows(beam.DoFn):
    def __init__(self, max_chars: int, class_names: tuple[str, ...]):
        self._max_chars = max_chars
        self._class_names = class_names

    def process(self, row: RawRow | RejectedRow) -> Iterator[Any]:
        outcome = validate_row(row, max_chars=self._max_chars, class_names=self._class_names)
        yield beam.pvalue.TaggedOutput("rejected", outcome) if isinstance(outcome, RejectedRow) else outcome


def _split_index(row: LabelledItem, _: int, val_fraction: float, test_fraction: float) -> int:
    return SPLITS.index(row.split(val_fraction, test_fraction))


def _to_example(row: LabelledItem, data_set: DataSet) -> tf.train.Example:
    """Returns the tf.Example of a row, with the features of the curated schema."""

    def text(value: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    def number(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        ID: text(row.id),
        TITLE: text(row.title),
        DESCRIPTION: text(row.description),
        LABEL: number(row.label),
        TEXT_LENGTH: number(row.text_length),
        LENGTH_BUCKET: text(data_set.length_bucket(row.text_length)),
        **dict(zip(data_set.kept_columns, map(text, row.kept), strict=True)),
    }
    if data_set.id_column:
        features[SOURCE_ID] = text(row.source_id)
    return tf.train.Example(features=tf.train.Features(feature=features))


def _training_files(exec_properties: dict[str, Any]) -> str:
    splits = _input_config(exec_properties).splits
    [pattern] = [split.pattern for split in splits if split.name == TRAIN]
    return os.path.join(exec_properties[standard_component_specs.INPUT_BASE_KEY], pattern)


def _input_config(exec_properties: dict[str, Any]) -> example_gen_pb2.Input:
    return proto_utils.json_to_proto(
        exec_properties[standard_component_specs.INPUT_CONFIG_KEY], example_gen_pb2.Input()
    )


def _options(exec_properties: dict[str, Any]) -> dict[str, Any]:
    packed = proto_utils.json_to_proto(
        exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], example_gen_pb2.CustomConfig()
    )
    options = struct_pb2.Struct()
    packed.custom_config.Unpack(options)
    return dict(options)


def _quarantine_directory(examples_uri: str) -> str:
    """Returns the quarantine directory of an output, which stays when the outputs of a failed run are removed.

    It is …/AgNewsExampleGen/quarantine/7 for …/AgNewsExampleGen/examples/7.
    """
    outputs, execution = os.path.split(examples_uri.rstrip("/"))
    return os.path.join(os.path.dirname(outputs), "quarantine", execution)


def _set_property(artifact, name: str, value: str | int) -> None:
    (artifact.set_int_custom_property if isinstance(value, int) else artifact.set_string_custom_property)(name, value)
