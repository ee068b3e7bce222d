"""What a training leaves for its readers: curves, and the facts that a description of the model needs."""

import json
import os
from typing import Any

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from schema.model_contract import TRAINING_FACTS

CURVES = "curves"


def layer_facts(network: keras.Model) -> list[dict[str, Any]]:
    """Of each layer its name, kind, shape of the output ("batch" and "time" vary) and number of parameters."""
    return [
        {
            "name": layer.name,
            "kind": _kind(layer),
            "shape": _shape(layer.output.shape),
            "parameters": layer.count_params(),
        }
        for layer in network.layers
    ]


def _kind(layer: keras.layers.Layer) -> str:
    kind = type(layer).__name__
    return f"{kind}({_kind(layer.forward_layer)})" if isinstance(layer, keras.layers.Bidirectional) else kind


def _shape(shape: tuple[int | None, ...]) -> list[int | str]:
    names = ("batch", "time")
    return [names[axis] if size is None else size for axis, size in enumerate(shape)]


def write_facts(facts: dict[str, Any], export_dir: str) -> None:
    """Writes the facts into a SavedModel's directory, so that they go wherever it goes."""
    path = os.path.join(export_dir, TRAINING_FACTS)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        json.dump(facts, file, indent=1)


def write_curves(history: dict[str, list[float]], best_epoch: int, directory: str) -> None:
    """Draws loss and accuracy of both splits and the learning rate, by epoch, as `curves.png` and `curves.svg`.

    Args:
        history: by metric its values of all epochs.
        best_epoch: the epoch whose weights were kept, from 1 on.
        directory: is made.
    """
    tf.io.gfile.makedirs(directory)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    epochs = range(1, len(history["loss"]) + 1)
    for axes, metric in zip(figure.subplots(1, 3), ("loss", "accuracy", "learning_rate"), strict=True):
        for name, label in ((metric, "train"), (f"val_{metric}", "val")):
            if name in history:
                axes.plot(epochs, history[name], marker="o", label=label)
        axes.set(title=metric.replace("_", " "), xlabel="epoch", xticks=epochs)
        axes.axvline(best_epoch, color="grey", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.axes[1].legend()
    figure.axes[2].set_title("learning rate at the end of the epoch")
    for suffix in ("png", "svg"):
        with tf.io.gfile.GFile(os.path.join(directory, f"{CURVES}.{suffix}"), "wb") as file:
            figure.savefig(file, format=suffix, dpi=120)
