"""Converts JSON to requests and responses to JSON.

The rules are those of tensorflow/serving, g3doc/api_rest.md and util/json_tensor.cc.
"""

import base64
import binascii
import json
import math
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2, regression_pb2

from schema.model_contract import SERVING_DEFAULT
from serving.server.errors import RequestError, invalid_argument_error
from serving.server.servable import Servable
from serving.server.tensors import MAX_RANK, dtype_name, fill_proto, to_array

_FLOATS = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
_INTEGERS = {
    types_pb2.DT_INT8: np.int8,
    types_pb2.DT_INT16: np.int16,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT8: np.uint8,
    types_pb2.DT_UINT16: np.uint16,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_UINT64: np.uint64,
}
_TYPES = {*_FLOATS, *_INTEGERS, types_pb2.DT_STRING, types_pb2.DT_BOOL}
_BYTES_SUFFIX = "_bytes"
_DECODER = json.JSONDecoder()
_WHITESPACE = " \t\r\n"
# Deletes the white space that absl::Base64Unescape skips.
_NO_WHITESPACE = str.maketrans("", "", " \t\r\n\v\f")


def parse(body: bytes) -> dict[str, Any]:
    """Parses the JSON object in a request body. As in TensorFlow Serving, NaN and Infinity are numbers."""
    if not body:
        raise invalid_argument_error("JSON Parse error: The document is empty")
    try:
        # As in TensorFlow Serving, a byte order mark before the object and text after it are ignored.
        sent, _ = _DECODER.raw_decode(body.decode("utf-8-sig").lstrip(_WHITESPACE))
    except (ValueError, RecursionError) as error:
        raise invalid_argument_error(f"JSON Parse error: {error}") from error
    if not isinstance(sent, dict):
        raise invalid_argument_error("JSON Value: Is not object")
    return sent


def encode(value: dict[str, Any]) -> bytes:
    """Returns a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def signature_name(sent: dict[str, Any]) -> str:
    """Returns the requested signature name, or an empty string for the default signature."""
    name = sent.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument_error("'signature_name' key must be a string value.")
    return _utf8(name).decode()


def predict_request(
    sent: dict[str, Any], spec: model_pb2.ModelSpec, servable: Servable
) -> tuple[predict_pb2.PredictRequest, bool]:
    """Converts a JSON object to a PredictRequest.

    Args:
        sent: the JSON object, with "instances" (row format) or "inputs" (column format).
        spec: model, version and signature of the request.
        servable: the loaded version, which has the types of the inputs.

    Returns:
        The request, and whether it is in row format.
    """
    signature = servable.signatures.get(spec.signature_name or SERVING_DEFAULT)
    if signature is None:
        raise invalid_argument_error(f'Serving signature name: "{spec.signature_name}" not found in signature def')
    if "instances" in sent and "inputs" in sent:
        raise invalid_argument_error("Not formatted correctly: expecting only one of 'inputs' or 'instances' keys")
    if "instances" not in sent and "inputs" not in sent:
        raise invalid_argument_error("Missing 'inputs' or 'instances' key")
    if not signature.inputs:
        raise invalid_argument_error(f"Failed to get input map for signature: {spec.signature_name or 'DEFAULT'}")
    row_format = "instances" in sent
    names = list(signature.inputs)
    columns = _rows_to_columns(sent["instances"], names) if row_format else _columns(sent["inputs"], names)
    request = predict_pb2.PredictRequest(model_spec=spec)
    for name, value in columns.items():
        dtype = signature.inputs[name].dtype
        try:
            fill_proto(request.inputs[name], _array(value, dtype), dtype)
        except (OverflowError, RecursionError) as error:
            raise invalid_argument_error(f"input {name}: {error}") from error
    return request, row_format


def _rows_to_columns(instances: Any, names: list[str]) -> dict[str, list]:
    if not isinstance(instances, list) or not instances:
        raise invalid_argument_error("Expecting 'instances' to be a list with at least one value")
    if not _is_object(instances[0]):
        if len(names) != 1:
            raise invalid_argument_error(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                "tensorinfo_map"
            )
        if any(map(_is_object, instances)):
            raise invalid_argument_error("Expecting value/list but got object in 'instances' list")
        return {names[0]: instances}
    for number, row in enumerate(instances):
        if not _is_object(row) or sorted(row) != sorted(names):
            raise invalid_argument_error(
                f"Failed to process element: {number} of 'instances' list. JSON object keys must be equal to: "
                f"{','.join(sorted(names))}"
            )
    return {name: [row[name] for row in instances] for name in names}


def _columns(inputs: Any, names: list[str]) -> dict[str, Any]:
    if not _is_object(inputs):
        if len(names) != 1:
            raise invalid_argument_error(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {names[0]: inputs}
    for name in names:
        if name not in inputs:
            raise invalid_argument_error(f"Missing named input: {name} in 'inputs' object.")
    return {name: inputs[name] for name in names}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _array(value: Any, dtype: int) -> np.ndarray:
    shape = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
        if len(shape) > MAX_RANK:
            raise invalid_argument_error(f"a tensor can have at most {MAX_RANK} dimensions")
    leaves: list[Any] = []
    _collect(value, shape, dtype, leaves)
    kind = _FLOATS.get(dtype) or _INTEGERS.get(dtype) or (np.bool_ if dtype == types_pb2.DT_BOOL else object)
    array = np.empty(math.prod(shape), kind)
    with np.errstate(over="ignore"):  # As in TensorFlow Serving, a number beyond float32 is infinite.
        array[:] = leaves
    return array.reshape(shape)


def _collect(value: Any, shape: list[int], dtype: int, leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if shape:
            raise invalid_argument_error(f"JSON Value: {_preview(value)} found at incorrect level")
        leaves.append(_leaf(value, dtype))
        return
    if not shape or len(value) != shape[0]:
        raise invalid_argument_error(
            f"Encountered list at unexpected size or level: {len(value)} values, expected shape {shape}"
        )
    for item in value:
        _collect(item, shape[1:], dtype, leaves)


def _leaf(value: Any, dtype: int) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == types_pb2.DT_STRING and isinstance(value, str | dict):
        return _bytes(value)
    if dtype in _FLOATS and number:
        return float(value)
    if dtype in _INTEGERS and number and isinstance(value, int):
        return value
    if dtype == types_pb2.DT_BOOL and isinstance(value, bool):
        return value
    if dtype not in _TYPES and not isinstance(value, dict):
        message = f"Conversion of JSON Value: {_preview(value)} to type: {dtype_name(dtype)}"
        raise RequestError(grpc.StatusCode.UNIMPLEMENTED, message)
    raise invalid_argument_error(f"JSON Value: {_preview(value)} is not of expected type: {dtype_name(dtype)}")


def _bytes(value: str | dict) -> bytes:
    if isinstance(value, str):
        return _utf8(value)
    encoded = value.get("b64") if len(value) == 1 else None
    if not isinstance(encoded, str):
        raise invalid_argument_error(f"JSON Value: {_preview(value)} not formatted correctly for base64 data")
    try:
        compact = encoded.translate(_NO_WHITESPACE).rstrip("=")
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument_error(f"Unable to base64 decode: {error}") from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid_argument_error(f"a string is not UTF-8: {error.reason}") from error


def _preview(value: Any) -> str:
    return repr(value)[:100]


def predict_result(response: predict_pb2.PredictResponse, row_format: bool) -> dict[str, Any]:
    """Converts a PredictResponse to a JSON object. As in TensorFlow Serving, a single output has no name."""
    for name, proto in response.outputs.items():
        if proto.dtype not in _TYPES:
            raise invalid_argument_error(f"output {name}: JSON has no values of the type {dtype_name(proto.dtype)}")
    columns = {name: _to_list(name, to_array(proto)) for name, proto in response.outputs.items()}
    if not row_format:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    sizes = {len(column) if isinstance(column, list) else -1 for column in columns.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise invalid_argument_error(
            "the outputs differ in their first dimension: use the column format, with 'inputs'"
        )
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _to_list(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        convert = _to_base64 if name.endswith(_BYTES_SUFFIX) else _to_text
        return np.frompyfunc(convert, 1, 1)(array).tolist() if array.ndim else convert(array.item())
    if array.dtype == np.float32:
        # Use the shortest decimals that round to the same float32. A float64 would have more digits without meaning.
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def _to_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _to_text(value: bytes) -> str:
    return value.decode(errors="replace")


def examples_request(sent: dict[str, Any], spec: model_pb2.ModelSpec, verb: str):
    """Converts a JSON object to a ClassificationRequest or a RegressionRequest.

    Args:
        sent: the JSON object, with "examples" and optionally "context".
        spec: model, version and signature of the request.
        verb: "classify" or "regress".
    """
    request = (
        classification_pb2.ClassificationRequest(model_spec=spec)
        if verb == "classify"
        else regression_pb2.RegressionRequest(model_spec=spec)
    )
    examples = sent.get("examples")
    if not isinstance(examples, list) or not examples:
        raise invalid_argument_error(
            f"When method is {verb}, key 'examples' is expected, a list with at least one value"
        )
    into = request.input.example_list
    if "context" in sent:
        into = request.input.example_list_with_context
        into.context.CopyFrom(_example(sent["context"]))
    into.examples.extend(map(_example, examples))
    return request


def _example(value: Any) -> tf.train.Example:
    if not isinstance(value, dict):
        raise invalid_argument_error(f"Example must be JSON object but got JSON {_preview(value)}")
    features = {}
    for name, content in value.items():
        features[_utf8(name).decode()] = _feature(name, content if isinstance(content, list) else [content])
    return tf.train.Example(features=tf.train.Features(feature=features))


def _feature(name: str, values: list) -> tf.train.Feature:
    if not values:
        return tf.train.Feature()
    try:
        if all(isinstance(value, str | dict) for value in values):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=map(_bytes, values)))
        if all(isinstance(value, float) for value in values):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if all(isinstance(value, int) for value in values):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=map(int, values)))
    except (ValueError, OverflowError) as error:
        raise invalid_argument_error(f"Feature: {name}: {error}") from error
    raise invalid_argument_error(f"Unexpected element type in feature: {name}, got {_preview(values)}")


def examples_result(response) -> dict[str, Any]:
    """Converts a ClassificationResponse or RegressionResponse to a JSON object."""
    if isinstance(response, regression_pb2.RegressionResponse):
        values = np.array([regression.value for regression in response.result.regressions], np.float32)
        return {"results": _to_list("", values)}
    results = []
    for classifications in response.result.classifications:
        scores = _to_list("", np.array([entry.score for entry in classifications.classes], np.float32))
        results.append([[e.label, score] for e, score in zip(classifications.classes, scores, strict=True)])
    return {"results": results}
