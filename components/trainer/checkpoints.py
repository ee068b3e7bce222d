"""Training that can be killed at any time and goes on from its last epoch."""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import tensorflow as tf

_STATE = "state.json"


@dataclass
class TrainingState:
    """What is known after an epoch, beside the weights.

    Attributes:
        epochs_done: finished epochs.
        best_epoch: the epoch, from 1 on, whose weights were best on val; 0 before the first.
        history: by metric its values of all epochs, in order.
    """

    epochs_done: int = 0
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)


class Checkpoint(keras.callbacks.Callback):
    """Keeps weights and optimizer of the last epoch and of the best one; stops when val gets no better.

    A file appears under its name only when it is whole, and the state file that names it last, so a kill at any time
    leaves the epoch before.
    """

    def __init__(self, directory: str, *, monitor: str, patience: int):
        """
        Args:
            directory: where the files are; an earlier, unfinished training's are taken up by `restore`.
            monitor: the metric, higher is better, that says which epoch is best.
            patience: epochs without a better one before training stops.
        """
        super().__init__()
        self._directory = directory
        self._monitor = monitor
        self._patience = patience
        self.state = TrainingState()

    def restore(self, model: keras.Model) -> int:
        """Takes up an earlier training in this directory.

        Args:
            model: compiled; its weights and optimizer are set to those of the last finished epoch.

        Returns:
            The number of epochs that are done.
        """
        path = self._path(_STATE)
        if tf.io.gfile.exists(path):
            with tf.io.gfile.GFile(path) as file:
                self.state = TrainingState(**json.load(file))
            # An optimizer that has not stepped has no variables that could be loaded.
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._weights(self.state.epochs_done))
        return self.state.epochs_done

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        state = self.state
        for name, value in (logs or {}).items():
            state.history.setdefault(name, []).append(float(value))
        state.epochs_done = epoch + 1
        scores = state.history[self._monitor]
        state.best_epoch = 1 + max(range(len(scores)), key=scores.__getitem__)
        tf.io.gfile.makedirs(self._directory)
        self._save_weights(self._weights(state.epochs_done))
        with tf.io.gfile.GFile(self._path(_STATE + ".tmp"), "w") as file:
            json.dump(asdict(state), file)
        tf.io.gfile.rename(self._path(_STATE + ".tmp"), self._path(_STATE), overwrite=True)
        kept = {self._weights(state.epochs_done), self._weights(state.best_epoch), self._path(_STATE)}
        for name in tf.io.gfile.listdir(self._directory):
            if self._path(name) not in kept:
                tf.io.gfile.remove(self._path(name))
        if state.epochs_done - state.best_epoch >= self._patience:
            self.model.stop_training = True

    def finished(self, epochs: int) -> bool:
        """Whether a training of so many epochs at most has nothing left to do."""
        state = self.state
        return state.epochs_done >= epochs or state.epochs_done - state.best_epoch >= self._patience

    def load_best(self, model: keras.Model) -> None:
        """Sets the model's weights to those of the best epoch."""
        model.load_weights(self._weights(self.state.best_epoch))

    def remove(self) -> None:
        """Removes the files, when the training has its outcome elsewhere."""
        tf.io.gfile.rmtree(self._directory)

    def last_good_weights(self) -> str | None:
        """The file of the last finished epoch, if there is one."""
        return self._weights(self.state.epochs_done) if self.state.epochs_done else None

    def _save_weights(self, path: str) -> None:
        partial = path.replace(".weights.h5", ".partial.weights.h5")
        self.model.save_weights(partial, overwrite=True)
        tf.io.gfile.rename(partial, path, overwrite=True)

    def _weights(self, epoch: int) -> str:
        return self._path(f"epoch-{epoch:03d}.weights.h5")

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)
