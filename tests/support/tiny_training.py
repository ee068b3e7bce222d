"""Rows in which one word determines the class, so that any network can learn it, and a recipe for tiny networks."""

import numpy as np

from components.trainer.batches import TokenizedRows
from components.trainer.settings import Recipe

WORDS = [f"w{index}" for index in range(38)]


def make_rows(count, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, count)
    counts = generator.integers(2, 12, count)
    texts = [generator.integers(6, 40, size) for size in counts]
    for text, label in zip(texts, labels, strict=True):
        text[0] = 2 + label
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return TokenizedRows(np.concatenate(texts).astype(np.int32), offsets, np.ones(count, np.int64), labels)


TINY = Recipe(
    architecture="stacked_bilstm",
    embedding_dim=8,
    units=4,
    depth=None,
    masking=None,
    pooling=None,
    wide=False,
    word_vectors="random",
    word_vectors_window=3,
    word_vectors_trainable=True,
    word_dropout=0.1,
    embedding_dropout=0.1,
    feature_dropout=0.1,
    consistency=1.0,
    perturbation=0.05,
    plain_epochs=0,
    epochs=3,
    patience=5,
    batch_tokens=200,
    bucket_boundaries=(4, 8),
    learning_rate=0.02,
    word_vectors_rate=3.0,
    weight_decay=1e-3,
    precision="float32",
    seed=1,
)

TENSORFLOW_ALONE = """
import importlib.abc, runpy, sys
LACKING = {"tfx", "tfx_bsl", "tensorflow_transform", "tensorflow_metadata", "tensorflow_data_validation", "apache_beam",
    "ml_metadata", "scipy", "sklearn", "pydantic", "click", "filelock", "pandas", "matplotlib", "keras_tuner"}
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
"""Program that runs a module where nothing can be imported that a host with TensorFlow alone may lack."""
