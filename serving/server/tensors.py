"""Converts TensorProtos to NumPy arrays and back.

It avoids tf.make_ndarray, which is slow for strings, and limits the memory that a small message can allocate.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server.errors import invalid_argument_error

# Field of the values in a TensorProto, and their NumPy type.
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
    """Converts a TensorProto to an array. Strings become an object array of bytes.

    Raises:
        RequestError: INVALID_ARGUMENT if the values do not match the shape.
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
        raise invalid_argument_error("the shape of a tensor in a request must be known")
    if len(shape) > MAX_RANK:
        raise invalid_argument_error(f"a tensor has {len(shape)} dimensions, at most {MAX_RANK} are allowed")
    # NumPy also rejects large shapes in which one dimension is 0.
    if math.prod(max(size, 1) for size in shape) > _MAX_ELEMENTS:
        raise invalid_argument_error(f"a tensor of shape {list(shape)} is too large")
    return shape


def _filled(values, elements: int, dtype: type) -> np.ndarray:
    """Fills missing elements with the last value, as TensorFlow's own parser does."""
    if not 0 < len(values) < elements or elements > _MAX_FILLED:
        raise invalid_argument_error(f"a tensor of {elements} elements has {len(values)} values")
    array: np.ndarray = np.empty(elements, dtype)
    array[: len(values)] = values
    array[len(values) :] = values[-1]
    return array


def _uncommon_to_array(proto: tensor_pb2.TensorProto, elements: int) -> np.ndarray:
    """Converts half, bfloat16, complex and quantized types with TensorFlow's own function."""
    if elements > _MAX_FILLED:
        raise invalid_argument_error(f"a tensor of {elements} elements is too large for {dtype_name(proto.dtype)}")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError) as error:
        raise invalid_argument_error(f"not a tensor: {error}") from error


def fill_proto(proto: tensor_pb2.TensorProto, array: np.ndarray, dtype: int) -> None:
    """Writes an array to an empty TensorProto, in the typed fields that TensorFlow Serving uses.

    Args:
        proto: the empty TensorProto.
        array: the values.
        dtype: type in the signature, a number of tensorflow.DataType.
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
    """Whether a tensor of this shape is compatible with the declared shape of an input."""
    if declared.rank is None:
        return True
    return len(array_shape) == declared.rank and all(
        expected in (None, size) for size, expected in zip(array_shape, declared.as_list(), strict=True)
    )


Run = Callable[[list[np.ndarray]], list[np.ndarray]]
"""Computes outputs of a graph from its inputs."""
