"""TensorProto to NumPy and back, without tf.make_ndarray where it is slow, and never larger than was sent."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server.errors import invalid_argument_error

# Field that holds the values, and the type in which NumPy keeps them.
_FIELDS: dict[int, tuple[str, type]] = {
    types_pb2.DT_STRING: ("string_val", object),
    types_pb2.DT_FLOAT: ("float_val", np.float32),
    types_pb2.DT_DOUBLE: ("double_val", np.float64),
    types_pb2.DT_INT64: ("int64_val", np.int64),
    types_pb2.DT_INT32: ("int_val", np.int32),
    types_pb2.DT_INT16: ("int_val", np.int16),
    types_pb2.DT_INT8: ("int_val", np.int8),
    types_pb2.DT_UINT8: ("int_val", np.uint8),
    types_pb2.DT_UINT16: ("int_val", np.uint16),
    types_pb2.DT_UINT32: ("uint32_val", np.uint32),
    types_pb2.DT_UINT64: ("uint64_val", np.uint64),
    types_pb2.DT_BOOL: ("bool_val", np.bool_),
}
# A tensor may be sent as one value and a shape to fill with it; a few bytes must not become gigabytes.
_MAX_FILLED = 1 << 24
_MAX_ELEMENTS = 1 << 31
MAX_RANK = 64
"""Dimensions that a NumPy array can have."""


def dtype_name(dtype: int) -> str:
    """A type as TensorFlow Serving spells it in messages: string, float, int64; a number of no type is told as such."""
    known = types_pb2.DataType.DESCRIPTOR.values_by_number.get(dtype)
    return known.name.removeprefix("DT_").lower() if known else f"unknown dtype enum ({dtype})"


def to_array(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The tensor as an array: object of bytes for strings.

    Raises:
        RequestError: INVALID_ARGUMENT when values and shape do not fit each other.
    """
    shape = _shape(proto)
    elements = math.prod(shape)
    field, dtype = _FIELDS.get(proto.dtype, ("", object))
    if not field:
        return _uncommon_to_array(proto, elements)
    if proto.tensor_content and dtype is not object:
        if len(proto.tensor_content) != elements * np.dtype(dtype).itemsize:
            raise invalid_argument_error(
                f"a tensor of shape {list(shape)} has {len(proto.tensor_content)} bytes of content"
            )
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, field)
    if len(values) == elements:
        array: np.ndarray = np.empty(elements, dtype)
        try:
            array[:] = values
        except OverflowError as error:
            raise invalid_argument_error(f"a value does not fit in {dtype_name(proto.dtype)}: {error}") from error
        return array.reshape(shape)
    return _filled(values, elements, dtype).reshape(shape)


def _shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid_argument_error("a tensor of a request needs a known shape")
    if len(shape) > MAX_RANK:
        raise invalid_argument_error(f"a tensor of {len(shape)} dimensions has too many, {MAX_RANK} are taken")
    # Nothing times much is nothing, and yet no shape that an array can have.
    if math.prod(max(size, 1) for size in shape) > _MAX_ELEMENTS:
        raise invalid_argument_error(f"a tensor of shape {list(shape)} is too large")
    return shape


def _filled(values, elements: int, dtype: type) -> np.ndarray:
    """Fewer values than elements: the last one fills the rest, as TensorFlow's own parser does."""
    if not 0 < len(values) < elements or elements > _MAX_FILLED:
        raise invalid_argument_error(f"a tensor of {elements} elements has {len(values)} values")
    array: np.ndarray = np.empty(elements, dtype)
    array[: len(values)] = values
    array[len(values) :] = values[-1]
    return array


def _uncommon_to_array(proto: tensor_pb2.TensorProto, elements: int) -> np.ndarray:
    """Half, bfloat16, complex and quantized types: TensorFlow's own conversion knows them."""
    if elements > _MAX_FILLED:
        raise invalid_argument_error(f"a tensor of {elements} elements is too large for {dtype_name(proto.dtype)}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError) as error:
        raise invalid_argument_error(f"not a tensor: {error}") from error


def fill_proto(proto: tensor_pb2.TensorProto, array: np.ndarray, dtype: int) -> None:
    """Writes an array into an empty TensorProto, values in their typed field as TensorFlow Serving sends them.

    Args:
        proto: what to fill.
        array: values.
        dtype: the signature's type, a number of tensorflow.DataType.
    """
    field, _ = _FIELDS.get(dtype, ("", object))
    if not field:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = dtype
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, field).extend(array.ravel().tolist())


def fits(array_shape: tuple[int, ...], declared: tf.TensorShape) -> bool:
    """Whether a tensor of this shape may be fed to an input that is declared so."""
    if declared.rank is None:
        return True
    return len(array_shape) == declared.rank and all(
        wanted in (None, size) for size, wanted in zip(array_shape, declared.as_list(), strict=True)
    )


Run = Callable[[list[np.ndarray]], list[np.ndarray]]
"""Runs a graph's chosen inputs to its chosen outputs."""
