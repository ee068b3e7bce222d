"""Measures the peak of a machine, and how much of it a training uses."""

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

_MATRIX = 2048
_REPEATS = 10


def matmul_peak() -> float:
    """Returns the median FLOP/s of ten products of two large float32 matrices in TensorFlow."""
    matrix = tf.random.normal([_MATRIX, _MATRIX])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    product()
    return 2 * _MATRIX**3 / statistics.median(_seconds(product) for _ in range(_REPEATS))


def peak_memory() -> float:
    """Returns the peak resident memory of this process so far, in MB.

    It is read from /proc, since getrusage of a new process starts with its parent's value.
    """
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def flops_a_token(layers: Iterable[keras.layers.Layer]) -> int:
    """Returns the operations per token of a forward and backward pass in LSTM layers; backward is twice forward.

    Only matrix products count; gates are a few percent of them.
    """
    weights = (weight for layer in layers for weight in layer.trainable_weights if len(weight.shape) == 2)
    return sum(3 * 2 * weight.shape[0] * weight.shape[1] for weight in weights)


def seconds_in(layers: list[keras.layers.Layer], batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> float:
    """Returns the seconds of stacked layers, forward and backward, on batches.

    Args:
        layers: recurrent layers, in order.
        batches: pairs of (vectors float32 [batch, time, width], mask bool [batch, time]).
    """

    @tf.function(reduce_retracing=True)
    def step(vectors, mask):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            x = vectors
            for layer in layers:
                x = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(x * x)
        weights = [weight.value for layer in layers for weight in layer.trainable_weights]
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(loss, [vectors, *weights])]

    batches = list(batches)
    for vectors, mask in batches[:2]:
        step(vectors, mask)
    return sum(_seconds(partial(step, *one)) for one in batches)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(matmul_peak())  # noqa: T201
