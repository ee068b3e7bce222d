"""JSON to requests and results to JSON.

Source of the rules: tensorflow/serving, g3doc/api_rest.md and util/json_tensor.cc.
"""

import base64
import binascii
import json
import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2, regression_pb2

from schema.model_contract import SERVING_DEFAULT
from serving.server.servable import Servable
from serving.server.status import invalid
from serving.server.tensors import MAX_RANK, dtype_name, fill_proto, to_array

_FLOATS = {types_pb2.DT_FLOAT: np.float32, types_pb2.DT_DOUBLE: np.float64}
_LARGEST = {types_pb2.DT_FLOAT: float(np.finfo(np.float32).max), types_pb2.DT_DOUBLE: float(np.finfo(np.float64).max)}
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
_BYTES_SUFFIX = "_bytes"


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body; NaN and Infinity are numbers, as in TensorFlow Serving."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(sent, dict):
        raise invalid("JSON Value: Is not object")
    return sent


def encode(value: dict[str, Any]) -> bytes:
    """JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def signature_name(sent: dict[str, Any]) -> str:
    """The signature asked for, empty for the default one."""
    name = sent.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    return _utf8(name).decode()


def predict_request(
    sent: dict[str, Any], spec: model_pb2.ModelSpec, servable: Servable
) -> tuple[predict_pb2.PredictRequest, bool]:
    """The request of a JSON object, and whether it is in row format ("instances") or in columns ("inputs")."""
    signature = servable.signatures.get(spec.signature_name or SERVING_DEFAULT)
    if signature is None:
        raise invalid(f'Serving signature name: "{spec.signature_name}" not found in signature def')
    if ("instances" in sent) == ("inputs" in sent):
        raise invalid("Not formatted correctly: expecting one of 'inputs' or 'instances' keys")
    row_format = "instances" in sent
    names = list(signature.inputs)
    columns = _rows_to_columns(sent["instances"], names) if row_format else _columns(sent["inputs"], names)
    request = predict_pb2.PredictRequest(model_spec=spec)
    for name, value in columns.items():
        dtype = signature.inputs[name].dtype
        try:
            fill_proto(request.inputs[name], _array(value, dtype), dtype)
        except (OverflowError, RecursionError) as error:
            raise invalid(f"input {name}: {error}") from error
    return request, row_format


def _rows_to_columns(instances: Any, names: list[str]) -> dict[str, list]:
    if not isinstance(instances, list) or not instances:
        raise invalid("Expecting 'instances' to be a list with at least one value")
    if not _is_object(instances[0]):
        if len(names) != 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                "tensorinfo_map"
            )
        if any(map(_is_object, instances)):
            raise invalid("Expecting value/list but got object in 'instances' list")
        return {names[0]: instances}
    for number, row in enumerate(instances):
        if not _is_object(row) or sorted(row) != sorted(names):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object keys must be equal to: "
                f"{','.join(sorted(names))}"
            )
    return {name: [row[name] for row in instances] for name in names}


def _columns(inputs: Any, names: list[str]) -> dict[str, Any]:
    if not _is_object(inputs):
        if len(names) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {names[0]: inputs}
    for name in names:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
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
            raise invalid(f"a tensor of more than {MAX_RANK} dimensions is not taken")
    leaves: list[Any] = []
    _collect(value, shape, dtype, leaves)
    kind = _FLOATS.get(dtype) or _INTEGERS.get(dtype) or (np.bool_ if dtype == types_pb2.DT_BOOL else object)
    array = np.empty(math.prod(shape), kind)
    array[:] = leaves
    return array.reshape(shape)


def _collect(value: Any, shape: list[int], dtype: int, leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if shape:
            raise invalid(f"JSON Value: {_shown(value)} found at incorrect level")
        leaves.append(_leaf(value, dtype))
        return
    if not shape or len(value) != shape[0]:
        raise invalid(f"Encountered list at unexpected size or level: {len(value)} values, expected shape {shape}")
    for item in value:
        _collect(item, shape[1:], dtype, leaves)


def _leaf(value: Any, dtype: int) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == types_pb2.DT_STRING and isinstance(value, str | dict):
        return _bytes(value)
    if dtype in _FLOATS and number:
        if math.isfinite(value) and abs(value) > _LARGEST[dtype]:
            raise invalid(f"Cannot convert JSON value: {_shown(value)} to {dtype_name(dtype)}: it is too large")
        return float(value)
    if dtype in _INTEGERS and number and isinstance(value, int):
        return value
    if dtype == types_pb2.DT_BOOL and isinstance(value, bool):
        return value
    raise invalid(f"JSON Value: {_shown(value)} is not of expected type: {dtype_name(dtype)}")


def _bytes(value: str | dict) -> bytes:
    if isinstance(value, str):
        return _utf8(value)
    encoded = value.get("b64") if len(value) == 1 else None
    if not isinstance(encoded, str):
        raise invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"Unable to base64 decode: {error}") from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"a string is not UTF-8: {error.reason}") from error


def _shown(value: Any) -> str:
    return repr(value)[:100]


def predict_result(response: predict_pb2.PredictResponse, row_format: bool) -> dict[str, Any]:
    """The JSON object of a response: one tensor stands without its name."""
    columns = {name: _listed(name, to_array(proto)) for name, proto in response.outputs.items()}
    if not row_format:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    sizes = {len(column) if isinstance(column, list) else -1 for column in columns.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise invalid("the outputs differ in their first dimension: ask in column format, with 'inputs'")
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _listed(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        convert = _to_base64 if name.endswith(_BYTES_SUFFIX) else _to_text
        return np.frompyfunc(convert, 1, 1)(array).tolist() if array.ndim else convert(array.item())
    if array.dtype == np.float32:
        # The shortest decimals that are the same float32; as float64 they would gain digits that mean nothing.
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def _to_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _to_text(value: bytes) -> str:
    return value.decode(errors="replace")


def examples_request(sent: dict[str, Any], spec: model_pb2.ModelSpec, verb: str):
    """A ClassificationRequest or RegressionRequest of a JSON object with "examples" and maybe a "context"."""
    request = (
        classification_pb2.ClassificationRequest(model_spec=spec)
        if verb == "classify"
        else regression_pb2.RegressionRequest(model_spec=spec)
    )
    examples = sent.get("examples")
    if not isinstance(examples, list) or not examples:
        raise invalid(f"When method is {verb}, key 'examples' is expected, a list with at least one value")
    into = request.input.example_list
    if "context" in sent:
        into = request.input.example_list_with_context
        into.context.CopyFrom(_example(sent["context"]))
    into.examples.extend(map(_example, examples))
    return request


def _example(value: Any) -> tf.train.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {_shown(value)}")
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
        raise invalid(f"Feature: {name}: {error}") from error
    raise invalid(f"Unexpected element type in feature: {name}, got {_shown(values)}")


def examples_result(response) -> dict[str, Any]:
    """The JSON object of a ClassificationResponse or RegressionResponse."""
    if isinstance(response, regression_pb2.RegressionResponse):
        values = np.array([regression.value for regression in response.result.regressions], np.float32)
        return {"results": _listed("", values)}
    results = []
    for classifications in response.result.classifications:
        scores = _listed("", np.array([entry.score for entry in classifications.classes], np.float32))
        results.append([[e.label, score] for e, score in zip(classifications.classes, scores, strict=True)])
    return {"results": results}
