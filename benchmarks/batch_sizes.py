"""What a batch costs: seconds and texts per second of the default network by batch size, on one CPU thread.

These figures are behind max_batch_size and the other values of serving/deploy/config/batching_parameters.txt. Weights
are random, which changes no time. Run as `PYTHONPATH=. .venv/bin/python -m benchmarks.batch_sizes`.
"""

import time

import numpy as np
import tensorflow as tf

from components.trainer.architectures import build_network
from components.trainer.settings import architecture
from schema.features import CLASS_NAMES

_BATCH_SIZES = (1, 4, 8, 16, 32, 64, 128)
_TOKENS = 48  # Of a long news item; the mean is 37.
_VOCABULARY = 50_000
_TEXTS = 400


def main() -> None:
    """Prints a line a batch size: the quickest of many batches, which other processes disturbed least."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    network = build_network(
        architecture("stacked_bilstm"), vocabulary_size=_VOCABULARY, classes=len(CLASS_NAMES), seed=1, use_cudnn=False
    )
    signature = [tf.TensorSpec([None, None], tf.int64)]
    answer = tf.function(lambda ids: tf.nn.softmax(network(ids, training=False)), input_signature=signature)
    random = np.random.default_rng(1)
    print("batch      ms  texts/s")  # noqa: T201 - what it is for
    for size in _BATCH_SIZES:
        batch = tf.constant(random.integers(2, _VOCABULARY, (size, _TOKENS)))
        seconds = min(_timed(answer, batch) for _ in range(20 + _TEXTS // size))
        print(f"{size:5}  {seconds * 1e3:6.2f}  {size / seconds:7,.0f}")  # noqa: T201


def _timed(answer, batch: tf.Tensor) -> float:
    began = time.perf_counter()
    answer(batch)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
