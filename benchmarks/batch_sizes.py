"""Measures seconds and texts per second of the default network by batch size, on one CPU thread.

The values in serving/deploy/config/batching_parameters.txt, such as max_batch_size, follow from these figures. Weights
are random, which does not affect time. Run as `PYTHONPATH=. .venv/bin/python -m benchmarks.batch_sizes`.
"""

import time

import numpy as np
import tensorflow as tf

from components.trainer.architectures import build_network
from components.trainer.shapes import architecture
from schema.features import CLASS_NAMES

_BATCH_SIZES = (1, 4, 8, 16, 32, 64, 128)
_TOKENS = 48  # A long news item; the mean is 37.
_VOCABULARY = 50_000
_TEXTS = 400


def main() -> None:
    """Prints one line per batch size: the fastest of many batches, which other processes disturbed least."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    network = build_network(
        architecture("stacked_bilstm"), vocabulary_size=_VOCABULARY, classes=len(CLASS_NAMES), seed=1, use_cudnn=False
    )
    signature = [tf.TensorSpec([None, None], tf.int64)]
    answer = tf.function(lambda ids: tf.nn.softmax(network(ids, training=False)), input_signature=signature)
    random = np.random.default_rng(1)
    print("batch      ms  texts/s")  # noqa: T201
    for size in _BATCH_SIZES:
        batch = tf.constant(random.integers(2, _VOCABULARY, (size, _TOKENS)))
        seconds = min(_time_call(answer, batch) for _ in range(20 + _TEXTS // size))
        print(f"{size:5}  {seconds * 1e3:6.2f}  {size / seconds:7,.0f}")  # noqa: T201


def _time_call(answer, batch: tf.Tensor) -> float:
    began = time.perf_counter()
    answer(batch)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
