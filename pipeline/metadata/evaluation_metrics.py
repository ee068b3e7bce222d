"""Reads the Evaluator's metrics over all rows in milliseconds.

TensorFlow Model Analysis can read its own files, but takes 7 s to import. Its protocol buffer message imports at once.
Sources of the format: proto/metrics_for_slice.proto of tensorflow/model-analysis, and core/lib/io/record_writer.h of
tensorflow/tensorflow.
"""

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import wrappers_pb2

_PACKAGE = "tensorflow_model_analysis"
_MESSAGE = "proto/metrics_for_slice_pb2"
# Names of the candidate: with a baseline, and without one.
_CANDIDATE = ("candidate", "")
_LENGTH, _CHECKSUM_BYTES = struct.Struct("<Q"), 4


def overall_metrics(evaluation: Path) -> dict[str, float]:
    """Returns the metrics of the candidate over all rows by name, for instance "accuracy" and "example_count".

    Args:
        evaluation: directory of a ModelEvaluation artifact. If it does not exist, there are no metrics.
    """
    message_class = _message_module().MetricsForSlice
    found = {}
    for file in sorted(evaluation.glob("metrics-*.tfrecord")):
        for record in records(file.read_bytes()):
            metrics = message_class.FromString(record)
            if metrics.slice_key.single_slice_keys:
                continue
            for entry in metrics.metric_keys_and_values:
                key, value = entry.key, entry.value
                # The differences from the baseline have the same names.
                own = key.model_name in _CANDIDATE and not key.is_diff
                if own and not key.HasField("sub_key") and value.WhichOneof("type") == "double_value":
                    found[key.name] = value.double_value.value
    return found


def _message_module() -> Any:
    """Imports the module of the message without its package."""
    assert wrappers_pb2.DESCRIPTOR  # The message uses its wrapper messages.
    package = importlib.util.find_spec(_PACKAGE)
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / f"{_MESSAGE}.py"
    spec = importlib.util.spec_from_file_location(f"{_PACKAGE}.{_MESSAGE.replace('/', '.')}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def records(data: bytes) -> Iterator[bytes]:
    """Yields the records of a TFRecord file: length, checksum of the length, bytes, checksum of the bytes."""
    start = 0
    while start < len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        begin = start + _LENGTH.size + _CHECKSUM_BYTES
        yield data[begin : begin + length]
        start = begin + length + _CHECKSUM_BYTES
