"""Chooses the devices of a training: GPUs, CPU or several workers, whether cuDNN is used, and how memory is kept."""

import contextlib
import ctypes
import functools
import logging
from collections.abc import Iterator

import keras
import tensorflow as tf

from components.trainer.shapes import Architecture

logger = logging.getLogger(__name__)

# Options of glibc's mallopt and their values during a training: the largest that it accepts, or the size of its heaps.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEEP = {_TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**26, _MMAP_THRESHOLD: 2**25}
_GLIBC_DEFAULTS = {_TRIM_THRESHOLD: 2**17, _TOP_PAD: 2**17}


def grow_gpu_memory() -> int:
    """Lets TensorFlow allocate GPU memory on demand instead of all at once; returns the number of GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:  # An earlier stage in this process initialised the device.
            logger.warning("GPU memory growth could not be set", extra={"fields": {"gpu": gpu.name, "reason": error}})
    return len(gpus)


def strategy(gpus: int) -> tf.distribute.Strategy:
    """Returns a strategy for the workers of TF_CONFIG if there are several, otherwise for this machine's devices."""
    if worker_count() > 1:
        return join_workers()
    return tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()


def worker_count() -> int:
    """Returns the number of workers in TF_CONFIG (tensorflow.org/guide/distributed_training); 1 without TF_CONFIG."""
    tasks = _cluster().cluster_spec().as_dict()
    return max(1, sum(len(tasks.get(kind, ())) for kind in ("chief", "worker")))


def worker_index() -> int:
    """Returns this process' index among the workers; 0 is the chief, the only one that exports."""
    cluster = _cluster()
    chiefs = len(cluster.cluster_spec().as_dict().get("chief", ()))
    return (cluster.task_id or 0) + (chiefs if cluster.task_type == "worker" else 0)


@functools.cache
def join_workers() -> tf.distribute.Strategy:
    """Waits for the other workers of TF_CONFIG; call it before TensorFlow runs anything."""
    return _WorkersStrategy()


def wait_for_workers() -> None:
    """Waits until all workers get here: a worker that ended earlier would look as if it had crashed."""

    def sum_ones():
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))

    join_workers().run(tf.function(sum_ones))


def _cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


class _WorkersStrategy(tf.distribute.MultiWorkerMirroredStrategy):
    """Works around Keras 3.15, which averages scalars along an axis that they do not have."""

    def reduce(self, reduce_op, value, axis):
        local = self.experimental_local_results(value)[0]
        return super().reduce(reduce_op, value, axis if local.shape.rank else None)


def why_not_cudnn(architecture: Architecture, *, gpus: int, built_with_cuda: bool) -> str | None:
    """Returns why cuDNN's recurrent kernels are not used, or None if they are.

    Every architecture meets cuDNN's conditions on activations, biases and right-padded masks;
    keras/src/backend/tensorflow/rnn.py lists all conditions.
    """
    if architecture.cell != "lstm":
        return f"cuDNN has no kernel for Keras' {architecture.cell}"
    if not built_with_cuda:
        return "this TensorFlow is built without CUDA (install the extra 'gpu')"
    if gpus == 0:
        return "there is no GPU"
    return None


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Sets the dtype policy of layers that are built within the context.

    Args:
        name: float32, mixed_float16 or mixed_bfloat16.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Lets the C library keep freed memory for the next allocation within the context.

    Each training step allocates and frees the same tensors. By default, glibc returns much of that memory to the
    kernel, which clears each page again: 5 to 10 % of the processor time of a step. Other C libraries are left as they
    are.
    """
    library = ctypes.CDLL(None)
    set_option = getattr(library, "mallopt", lambda option, value: None)
    for option, value in _KEEP.items():
        set_option(option, value)
    try:
        yield
    finally:
        for option, value in _GLIBC_DEFAULTS.items():
            set_option(option, value)
        getattr(library, "malloc_trim", lambda pad: None)(0)
