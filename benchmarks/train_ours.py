"""Trains with this project's recipe: `python -m benchmarks.train_ours FILE PEAK TARGET`."""

import itertools
import json
import pickle
import sys
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf

from benchmarks.accuracy_watch import AccuracyWatch
from benchmarks.measure import flops_a_token, peak_memory, seconds_in
from components.trainer.batches import Buckets, bucketed_batches
from components.trainer.settings import Recipe
from components.trainer.training import train

_MEASURED_BATCHES = 40


def main(path: str, peak: float, target: float) -> dict:
    """Trains with the whole recipe and returns the measurements.

    Args:
        path: file that `benchmarks.train` wrote.
        peak: peak performance of the machine in floating-point operations per second.
        target: accuracy on val for which the time is measured.
    """
    with open(path, "rb") as file:
        rows, val_rows, words, config = pickle.load(file)
    recipe = Recipe.from_config(config)
    with TemporaryDirectory() as directory:
        watch = AccuracyWatch(val_rows, Buckets(recipe.bucket_boundaries, 20_000), target)
        trained = train(rows, val_rows, words, recipe, checkpoint_root=directory, callbacks=[watch])
    peak_mb = peak_memory()
    recurrent = [layer for layer in trained.network.layers if layer.name.startswith("recurrent_")]
    embedding = trained.network.get_layer("embedding")
    buckets = Buckets(recipe.bucket_boundaries, recipe.batch_tokens)
    batches = bucketed_batches(rows, buckets, seed=1).take(_MEASURED_BATCHES)
    measured = [ids for ids, _ in itertools.islice(batches, _MEASURED_BATCHES)]
    in_layers = seconds_in(recurrent, [(tf.convert_to_tensor(embedding(ids)), ids != 0) for ids in measured])
    flops = flops_a_token(recurrent)
    rows_per_second, last_rows_per_second = (len(rows) / watch.epoch_seconds[index] for index in (0, -1))
    return {
        "rows_per_second": rows_per_second,
        "last_rows_per_second": last_rows_per_second,
        "seconds_to_target": watch.seconds_to_target,
        "val_accuracy": trained.facts["history"]["val_accuracy"][0],
        "best_val_accuracy": max(trained.facts["history"]["val_accuracy"]),
        "seconds": trained.facts["seconds"],
        "peak_mb": peak_mb,
        "peak_gflops": peak / 1e9,
        "training_share": rows_per_second * float(rows.token_counts.mean()) * flops / peak,
        "recurrent_share": sum(np.count_nonzero(ids) for ids in measured) * flops / in_layers / peak,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(float, sys.argv[2:]))))  # noqa: T201
