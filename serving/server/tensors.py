"""Converts TensorProtos to NumPy arrays and back.

It avoids tf.make_ndarray, which is slow for strings, and limits the memory that a small message can allocate.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server.errors import invalid_argument_error


@dataclass(frozen=True)
class _Field:
    """How a TensorProto stores a type.

    Attributes:
        name: its field.
        dtype: type of the array.
        stored: type of the values in the field. Several of them can make up one element.
    """

    name: str
    dtype: np.dtype
    stored: np.dtype

    @property
    def per_element(self) -> int:
        return self.dtype.itemsize // self.stored.itemsize


def _field(name: str, dtype: Any, stored: Any = None) -> _Field:
    return _Field(name, np.dtype(dtype), np.dtype(stored or dtype))


_FIELDS = {
    types_pb2.DT_STRING: _field("string_val", object),
    types_pb2.DT_FLOAT: _field("float_val", np.float32),
    types_pb2.DT_DOUBLE: _field("double_val", np.float64),
    types_pb2.DT_INT64: _field("int64_val", np.int64),
    types_pb2.DT_INT32: _field("int_val", np.int32),
    types_pb2.DT_INT16: _field("int_val", np.int16),
    types_pb2.DT_INT8: _field("int_val", np.int8),
    types_pb2.DT_UINT8: _field("int_val", np.uint8),
    types_pb2.DT_UINT16: _field("int_val", np.uint16),
    types_pb2.DT_UINT32: _field("uint32_val", np.uint32),
    types_pb2.DT_UINT64: _field("uint64_val", np.uint64),
    types_pb2.DT_BOOL: _field("bool_val", np.bool_),
    types_pb2.DT_HALF: _field("half_val", np.float16, np.uint16),
    types_pb2.DT_BFLOAT16: _field("half_val", tf.bfloat16.as_numpy_dtype, np.uint16),
    types_pb2.DT_COMPLEX64: _field("scomplex_val", np.complex64, np.float32),
    types_pb2.DT_COMPLEX128: _field("dcomplex_val", np.complex128, np.float64),
}
# A number of 32 bits, which TensorFlow also expects. Without a limit, decoding a long one takes quadratic time.
_MAX_VARINT_BYTES = 5
# A tensor can be sent as one value and a shape to fill with it. A few bytes must not allocate gigabytes.
_MAX_FILLED = 1 << 24
_MAX_ELEMENTS = 1 << 31
MAX_RANK = 64
"""Maximum number of dimensions of a NumPy array."""


def dtype_name(dtype: int) -> str:
    """Returns the name of a type as in TensorFlow Serving's messages, such as string, float or int64."""
    known = types_pb2.DataType.DESCRIPTOR.values_by_number.get(dtype)
    return known.name.removeprefix("DT_").lower() if known else f"unknown dtype enum ({dtype})"


def to_array(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Converts a TensorProto to an array, as TensorFlow's own parser does (Tensor::FromProto).

    Strings become an object array of bytes. If there are fewer values than elements, the last one is repeated, or the
    elements are 0 if there are no values. Further values are ignored. A shape of unknown rank means a scalar.

    Raises:
        RequestError: INVALID_ARGUMENT if it is not a tensor, or too large.
    """
    shape = _shape(proto)
    elements = math.prod(shape)
    field = _FIELDS.get(proto.dtype)
    if field is None:
        raise invalid_argument_error(f"tensors of the type {dtype_name(proto.dtype)} are not supported in requests")
    if proto.tensor_content:
        return _content(proto.tensor_content, elements, field).reshape(shape)
    values = getattr(proto, field.name)[: elements * field.per_element]
    if len(values) < elements * field.per_element and elements > _MAX_FILLED:
        raise invalid_argument_error(f"a tensor of {elements} elements has {len(values)} values")
    array: np.ndarray = np.zeros(elements * field.per_element, field.stored)
    if field.dtype == object:
        array[:] = b""
    try:
        array[: len(values)] = values
    except OverflowError as error:
        raise invalid_argument_error(f"a value does not fit in {dtype_name(proto.dtype)}: {error}") from error
    array = array if field.stored == field.dtype else array.view(field.dtype)
    given = len(values) // field.per_element
    if 0 < given < elements:
        array[given:] = array[given - 1]
    return array.reshape(shape)


def _shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        return ()
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise invalid_argument_error("the shape of a tensor in a request must be known")
    if len(shape) > MAX_RANK:
        raise invalid_argument_error(f"a tensor has {len(shape)} dimensions, at most {MAX_RANK} are allowed")
    # NumPy also rejects large shapes in which one dimension is 0.
    if math.prod(max(size, 1) for size in shape) > _MAX_ELEMENTS:
        raise invalid_argument_error(f"a tensor of shape {list(shape)} is too large")
    return shape


def _content(content: bytes, elements: int, field: _Field) -> np.ndarray:
    if field.dtype == object:
        return _strings(content, elements)
    if len(content) != elements * field.dtype.itemsize:
        raise invalid_argument_error(f"a tensor of {elements} elements has {len(content)} bytes of content")
    return np.frombuffer(content, field.dtype)


def _strings(content: bytes, elements: int) -> np.ndarray:
    """Decodes the lengths as varints, then the bytes (tensorflow/core/lib/strings, DecodeStringList)."""
    if elements > len(content):
        raise invalid_argument_error(f"a tensor of {elements} strings has {len(content)} bytes of content")
    array: np.ndarray = np.empty(elements, object)
    sizes, at = [], 0
    try:
        for _ in range(elements):
            size, at = _varint(content, at)
            sizes.append(size)
    except (IndexError, ValueError) as error:
        raise invalid_argument_error("the lengths of the strings in tensor_content are invalid") from error
    if sum(sizes) != len(content) - at:
        raise invalid_argument_error(f"strings of {sum(sizes)} bytes have {len(content) - at} bytes of content")
    for index, size in enumerate(sizes):
        array[index] = content[at : at + size]
        at += size
    return array


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns the number at an offset, and the offset behind it.

    Raises:
        IndexError: the content ends before the number.
        ValueError: the number is too long.
    """
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = content[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError(f"a number is longer than {_MAX_VARINT_BYTES} bytes")


def fill_proto(proto: tensor_pb2.TensorProto, array: np.ndarray, dtype: int) -> None:
    """Writes an array to an empty TensorProto, in the typed fields that TensorFlow Serving uses.

    Args:
        proto: the empty TensorProto.
        array: the values.
        dtype: type in the signature, a number of tensorflow.DataType.
    """
    field = _FIELDS.get(dtype)
    if field is None:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = dtype
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values = array.ravel()
    getattr(proto, field.name).extend((values if field.stored == field.dtype else values.view(field.stored)).tolist())


class GraphRun(Protocol):
    """Computes outputs of a graph from its inputs, and stops at a deadline, in time.monotonic()."""

    def __call__(self, arrays: list[np.ndarray], deadline: float = math.inf) -> list[np.ndarray]: ...
