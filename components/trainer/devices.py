"""Chooses the devices of a training: GPUs, CPU or several workers, and whether cuDNN is used."""

import contextlib
import functools
import logging
from collections.abc import Iterator

import keras
import tensorflow as tf

from components.trainer.shapes import Architecture

logger = logging.getLogger(__name__)


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
