"""`make bench-gpu`: trains the notebook's way and ours on one GPU, from a file of rows.

It needs TensorFlow, Keras and NumPy alone, and prints its figures as JSON in the last line.
"""

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.accuracy_watch import AccuracyWatch
from benchmarks.measure import matmul_peak
from components.trainer import devices
from components.trainer.batches import Buckets, TokenizedRows, bucketed_batches
from components.trainer.optimizer import compile_model
from components.trainer.rows_file import RowsFile, StoredRecipe
from components.trainer.training import build, predict_logits, train
from schema.errors import AgNewsError
from schema.model_contract import CLASS_COUNT, RESERVED_IDS
from schema.splits import TEST, TRAIN, VAL

if TYPE_CHECKING:
    from components.trainer.settings import Recipe

_NOTEBOOK_BATCH = 16
_BATCH_TOKENS = (8_000, 16_000, 32_000, 64_000)
_MEASURED_STEPS = 10
_ANSWERED = 64
_ON_CPU = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
functions = loaded.signatures["serving_default"].graph.as_graph_def().library.function
assert not [node.op for function in functions for node in function.node_def if "cudnn" in node.op.lower()]
np.save(sys.argv[3], loaded.serve(tf.constant(np.load(sys.argv[2]))).numpy())
"""


def main(arguments: list[str]) -> int:
    """Runs the benchmark, prints the figures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="bench-gpu", description="Train on one GPU and measure it.")
    parser.add_argument("--input", type=Path, default=Path("rows.npz"), help="file that `make rows-file` wrote")
    parser.add_argument("--rows", type=int, help="rows to train on; all by default")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu tries the script without a GPU")
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=_BATCH_TOKENS, help="sizes to try")
    parser.add_argument("--precisions", nargs="+", default=("float32", "mixed_bfloat16"), help="formats to try")
    options = parser.parse_args(arguments)
    gpus = tf.config.list_physical_devices("GPU")
    if options.device == "cpu":
        if gpus:
            tf.config.set_visible_devices([], "GPU")
    elif not gpus:
        print("error: TensorFlow sees no GPU here; --device cpu tries the script on the CPU", file=sys.stderr)  # noqa: T201
        return 1
    try:
        file = RowsFile.read(options.input)
    except AgNewsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(json.dumps(measure(file, options.rows, options.batch_tokens, options.precisions)))  # noqa: T201
    return 0


def measure(file: RowsFile, count: int | None, batch_tokens: list[int], precisions: list[str]) -> dict[str, Any]:
    """Trains the notebook's way, at several batch sizes and precisions, and with the whole recipe; returns figures."""
    gpus = tf.config.get_visible_devices("GPU")
    devices.grow_gpu_memory()
    rows = file.rows[TRAIN]
    rows = rows.select(np.sort(np.random.default_rng(1).permutation(len(rows))[:count])) if count else rows
    file = dataclasses.replace(file, rows={**file.rows, TRAIN: rows})
    name = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"
    figures: dict[str, Any] = {
        "device": name,
        "tensorflow": tf.__version__,
        "rows": len(rows),
        "matmul_gflops": matmul_peak() / 1e9,
        "notebook": _train_notebook(file),
    }
    figures["speed"] = [
        {"precision": precision, "batch_tokens": tokens, "rows_per_second": _speed(file, precision, tokens)}
        for precision in precisions
        for tokens in batch_tokens
    ]
    figures["training"] = _train(file, figures["notebook"]["val_accuracy"])
    return figures


def _train_notebook(file: RowsFile) -> dict[str, float]:
    """Trains the notebook's network for one epoch on batches of 16, from token ids instead of texts."""
    keras.utils.set_random_seed(1)
    rows, val_rows = file.rows[TRAIN], file.rows[VAL]
    model = keras.Sequential(
        [
            layers.Embedding(len(file.words) + RESERVED_IDS, 128, mask_zero=True),
            layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(64)),
            layers.Dense(CLASS_COUNT, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    began = time.monotonic()
    model.fit(_in_order(rows), verbose=0)
    seconds = time.monotonic() - began
    _, accuracy = model.evaluate(_in_order(val_rows), verbose=0)
    return {"seconds": seconds, "rows_per_second": len(rows) / seconds, "val_accuracy": accuracy}


def _in_order(rows: TokenizedRows) -> tf.data.Dataset:
    longest = int(rows.token_counts.max())
    shuffled = rows.select(np.random.default_rng(1).permutation(len(rows)))
    return bucketed_batches(shuffled, Buckets((), _NOTEBOOK_BATCH * longest))


def _speed(file: RowsFile, precision: str, batch_tokens: int) -> float | None:
    """Returns the rows per second of some training steps of a new network, or None if a batch exceeds the memory."""
    recipe = cast("Recipe", StoredRecipe(**vars(file.recipe) | {"precision": precision}))
    rows, buckets = file.rows[TRAIN], Buckets(recipe.bucket_boundaries, batch_tokens)
    with devices.precision(precision):
        network = build(recipe, vocabulary_size=len(file.words) + RESERVED_IDS)
        compile_model(network, recipe, steps=_MEASURED_STEPS)
    batches = bucketed_batches(rows, buckets, seed=recipe.seed)
    try:
        network.fit(batches.take(2), verbose=0)  # Compiles.
        began = time.monotonic()
        network.fit(batches.take(_MEASURED_STEPS), verbose=0)
        seconds = time.monotonic() - began
    except tf.errors.ResourceExhaustedError:
        return None
    # The first pass has the same order, so these are the batches of those steps.
    measured = itertools.islice(bucketed_batches(rows, buckets, seed=recipe.seed), _MEASURED_STEPS)
    return sum(len(labels) for _, labels in measured) / seconds


def _train(file: RowsFile, target: float) -> dict[str, Any]:
    recipe = cast("Recipe", file.recipe)
    rows, val_rows, test_rows = (file.rows[split] for split in (TRAIN, VAL, TEST))
    watch = AccuracyWatch(val_rows, Buckets(recipe.bucket_boundaries, _BATCH_TOKENS[0]), target)
    with TemporaryDirectory() as directory:
        trained = train(
            *(rows, val_rows, file.words, recipe), checkpoint_root=directory, vectors=file.vectors, callbacks=[watch]
        )
    buckets = Buckets(recipe.bucket_boundaries, recipe.batch_tokens)
    logits = predict_logits(trained.network, test_rows, buckets)
    return {
        **{name: trained.facts[name] for name in ("seconds", "cudnn", "history")},
        "batch_tokens": recipe.batch_tokens,
        "rows_per_second": len(rows) * len(trained.facts["history"]["loss"]) / sum(watch.epoch_seconds),
        "seconds_to_notebook": watch.seconds_to_target,
        "test_accuracy": float((logits.argmax(axis=1) == test_rows.labels).mean()),
        "export_difference": _export_difference(trained.network, test_rows, recipe, len(file.words) + RESERVED_IDS),
    }


def _export_difference(network: keras.Model, rows: TokenizedRows, recipe: "Recipe", vocabulary_size: int) -> float:
    """Exports the network without cuDNN, loads it on the CPU, and returns the largest difference of a logit."""
    portable = build(recipe, vocabulary_size=vocabulary_size, use_cudnn=False)
    portable.set_weights(network.get_weights())
    ids, _ = next(iter(bucketed_batches(rows.select(np.arange(min(_ANSWERED, len(rows)))), Buckets((), 2**20))))
    with TemporaryDirectory() as directory:
        model, asked, answered = (os.path.join(directory, name) for name in ("model", "asked.npy", "answered.npy"))
        signature = tf.TensorSpec([None, None], tf.int32, "token_ids")
        portable.export(model, verbose=False, input_signature=[signature])
        np.save(asked, ids.numpy())
        command = [sys.executable, "-c", _ON_CPU, model, asked, answered]
        subprocess.run(command, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
        return float(np.abs(np.load(answered) - network(ids, training=False).numpy()).max())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
