"""What the training runs on: GPUs or CPU, and whether cuDNN's recurrent kernels are used."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from components.trainer.settings import Architecture

logger = logging.getLogger(__name__)

CPU_BATCH_TOKENS = 5_000
GPU_BATCH_TOKENS = (8_000, 16_000, 32_000, 64_000)
_WORTH_DOUBLING = 1.1


def grow_gpu_memory() -> int:
    """Lets TensorFlow take GPU memory as it needs it instead of all at once. Returns the number of GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:  # An earlier stage in this process has initialised the device.
            logger.warning("GPU memory growth could not be set", extra={"fields": {"gpu": gpu.name, "reason": error}})
    return len(gpus)


def strategy(gpus: int) -> tf.distribute.Strategy:
    """The workers of TF_CONFIG in step where there are several, else all GPUs where there are, else the one device."""
    if worker_count() > 1:
        return join_workers()
    return tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()


def worker_count() -> int:
    """Processes that train together, as TF_CONFIG says (tensorflow.org/guide/distributed_training); 1 without it."""
    tasks = _cluster().cluster_spec().as_dict()
    return max(1, sum(len(tasks.get(kind, ())) for kind in ("chief", "worker")))


def worker() -> int:
    """This process' number among them; 0 is the chief, which alone exports."""
    cluster = _cluster()
    chiefs = len(cluster.cluster_spec().as_dict().get("chief", ()))
    return (cluster.task_id or 0) + (chiefs if cluster.task_type == "worker" else 0)


@functools.cache
def join_workers() -> tf.distribute.Strategy:
    """Waits for the other workers of TF_CONFIG; must come before TensorFlow runs anything, and once a process."""
    return _InStep()


def wait_for_workers() -> None:
    """Waits until all workers are here: one that ended before would look as if it had crashed."""

    def one_of_each():
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))

    join_workers().run(tf.function(one_of_each))


def _cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


class _InStep(tf.distribute.MultiWorkerMirroredStrategy):
    """TensorFlow's own, with which Keras 3.15 fails: it asks for the mean of numbers along an axis they do not have."""

    def reduce(self, reduce_op, value, axis):
        of_one = self.experimental_local_results(value)[0]
        return super().reduce(reduce_op, value, axis if of_one.shape.rank else None)


def why_not_cudnn(architecture: Architecture, *, gpus: int, built_with_cuda: bool) -> str | None:
    """The condition of cuDNN's recurrent kernels that does not hold, or None where they are used.

    Activations, biases and right-padded masks, which cuDNN also asks for, are as it wants them in every architecture;
    keras/src/backend/tensorflow/rnn.py has the whole list.
    """
    if architecture.cell != "lstm":
        return f"cuDNN has no kernel for Keras' {architecture.cell}"
    if not built_with_cuda:
        return "this TensorFlow is built without CUDA (install the extra 'gpu')"
    if gpus == 0:
        return "there is no GPU"
    return None


def choose_batch_tokens(rows_per_second: Callable[[int], float], candidates: Sequence[int]) -> int:
    """The first batch size that the next larger one does not beat by a tenth: larger ones only learn slower.

    Args:
        rows_per_second: measures the training's speed at a number of tokens a batch; raises
            tf.errors.ResourceExhaustedError where it does not fit.
        candidates: numbers of tokens, rising.
    """
    best, best_speed = candidates[0], 0.0
    for tokens in candidates:
        try:
            speed = rows_per_second(tokens)
        except tf.errors.ResourceExhaustedError:
            break
        logger.info("batch size measured", extra={"fields": {"tokens": tokens, "rows_per_second": round(speed)}})
        if speed < best_speed * _WORTH_DOUBLING:
            break
        best, best_speed = tokens, speed
    return best


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Layers built within compute in float32, mixed_float16 or mixed_bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
