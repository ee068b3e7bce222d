"""One loaded version: a SavedModel run in a session, as TensorFlow Serving runs it."""

import ctypes
import functools
import gc
import os
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from schema.model_contract import MLMD_UUID, WARMUP_REQUESTS
from serving.server.tensors import Run

_MAX_CACHED_RUNS = 64


@dataclass(frozen=True)
class SessionOptions:
    """How graphs are run.

    Attributes:
        tags: of the graph in the SavedModel.
        intra_op_threads: of one operation; 0 takes a thread a core.
        inter_op_threads: of operations side by side; 0 takes a thread a core.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0


@dataclass(frozen=True)
class Input:
    """An input of a signature. `dtype` is a number of tensorflow.DataType."""

    tensor: str
    dtype: int
    shape: tf.TensorShape


@dataclass(frozen=True)
class Signature:
    """A signature, read once: its method, its inputs, and outputs as (tensor, dtype)."""

    method: str
    inputs: dict[str, Input]
    outputs: dict[str, tuple[str, int]]


class Servable:
    """A SavedModel in memory.

    Attributes:
        signature_defs: the signatures as the SavedModel has them.
        signatures: the same, ready for use; the loader's own init signature is not among them.
        mlmd_uuid: content of `MLMD_UUID`, or None.
        warmup_path: file of warm-up requests, or None.
    """

    def __init__(self, directory: str, options: SessionOptions):
        """Loads a SavedModel.

        Raises:
            tf.errors.OpError, ValueError, OSError: it is incomplete, broken or unreadable.
        """
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=options.intra_op_threads,
            inter_op_parallelism_threads=options.inter_op_threads,
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, list(options.tags), directory)
        except BaseException:
            self.close()
            raise
        self._session.graph.finalize()
        self.signature_defs: dict[str, meta_graph_pb2.SignatureDef] = {}
        for name, signature in meta_graph.signature_def.items():
            if not name.startswith("__saved_model"):
                self.signature_defs[name] = meta_graph_pb2.SignatureDef.FromString(signature.SerializeToString())
        self.signatures = {name: _signature(signature) for name, signature in self.signature_defs.items()}
        self.mlmd_uuid = _read_text(f"{directory}/{MLMD_UUID}")
        warmup_path = f"{directory}/{WARMUP_REQUESTS}"
        self.warmup_path = warmup_path if tf.io.gfile.exists(warmup_path) else None
        self.run_for = functools.lru_cache(_MAX_CACHED_RUNS)(self._run_for)

    def _run_for(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Run:
        # The public Session.make_callable resolves the names at each call: 0.3 ms of the 0.7 ms a short text takes.
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        call = self._session._make_callable_from_options(options)
        return lambda arrays: [_as_array(output) for output in call(*arrays)]

    def close(self) -> None:
        """Frees the memory; nothing may run any more."""
        # Graph and session refer to each other, and to the callables made of them.
        self.__dict__.pop("run_for", None)
        self._session.close()
        del self._session
        gc.collect()
        _return_memory()


def _as_array(output: object) -> np.ndarray:
    # A scalar string comes as bytes, of which NumPy would make a type that loses trailing zeros.
    return np.asarray(output, object if isinstance(output, bytes) else None)


def _signature(proto: meta_graph_pb2.SignatureDef) -> Signature:
    return Signature(
        proto.method_name,
        {name: Input(info.name, info.dtype, tf.TensorShape(info.tensor_shape)) for name, info in proto.inputs.items()},
        {name: (info.name, info.dtype) for name, info in proto.outputs.items()},
    )


def _read_text(path: str) -> str | None:
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return file.read().strip()


def _return_memory() -> None:
    """Asks the C library to give freed pages back to the system: weights would otherwise stay in the process."""
    if os.name == "posix" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
