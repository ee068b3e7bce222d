"""Trains the stacked BiLSTM like the seed notebook: `python -m benchmarks.train_notebook FILE PEAK`."""

import itertools
import json
import pickle
import sys
import time

import keras
import tensorflow as tf

from benchmarks.measure import flops_a_token, peak_memory, seconds_in
from pipeline.experiments.compare import seed_notebook

_MEASURED_BATCHES = 100


def main(path: str, peak: float) -> dict:
    """Trains one epoch and returns the measurements.

    Args:
        path: file that `benchmarks.train` wrote.
        peak: peak performance of the machine in floating-point operations per second.
    """
    with open(path, "rb") as file:
        titles, texts, labels, val_texts, val_labels = pickle.load(file)
    keras.utils.set_random_seed(1)
    began = time.monotonic()
    size = seed_notebook.batch_size("stacked_bilstm")
    text_to_ids = seed_notebook.vectorizer(titles)
    model = seed_notebook.network("stacked_bilstm", text_to_ids)
    model.fit(seed_notebook.batches(texts, labels, size), verbose=0)
    seconds = time.monotonic() - began
    peak_mb = peak_memory()
    _, accuracy = model.evaluate(seed_notebook.batches(val_texts, val_labels, 64), verbose=0)

    ids = [text_to_ids(batch) for batch, _ in itertools.islice(seed_notebook.batches(texts, labels, size), 1000)]
    tokens_a_row = sum(int(tf.math.count_nonzero(batch)) for batch in ids) / sum(len(batch) for batch in ids)
    [embedding] = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    recurrent = [layer for layer in model.layers if isinstance(layer, keras.layers.Bidirectional)]
    measured = ids[:_MEASURED_BATCHES]
    in_layers = seconds_in(recurrent, [(tf.convert_to_tensor(embedding(batch)), batch != 0) for batch in measured])
    flops = flops_a_token(recurrent)
    rows_per_second = len(texts) / seconds
    return {
        "rows_per_second": rows_per_second,
        "last_rows_per_second": None,
        "seconds_to_target": seconds,
        "val_accuracy": accuracy,
        "best_val_accuracy": accuracy,
        "seconds": seconds,
        "peak_mb": peak_mb,
        "peak_gflops": peak / 1e9,
        "training_share": rows_per_second * tokens_a_row * flops / peak,
        "recurrent_share": sum(int(tf.math.count_nonzero(batch)) for batch in measured) * flops / in_layers / peak,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]))))  # noqa: T201
