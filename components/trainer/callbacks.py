"""Callbacks of a training: checkpoints to resume from, reproducible dropouts, a stop on divergence, progress."""

import hashlib
import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from schema.errors import RunError
from schema.files import flush_directory
from schema.paths import is_remote

logger = logging.getLogger(__name__)

_STATE = "state.json"


@dataclass
class TrainingState:
    """Progress of a training after an epoch, stored next to the weights.

    Attributes:
        epochs_done: number of finished epochs.
        best_epoch: number of the epoch with the best weights on val, from 1; 0 before the first epoch.
        history: values of each metric, by epoch.
        sha256: SHA-256 of each file of weights, by its name.
    """

    epochs_done: int = 0
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


class Checkpoint(keras.callbacks.Callback):
    """Saves weights and optimizer of the last and the best epoch; stops when val no longer improves.

    Weights are renamed to their final name after they are complete and on disk, and the state file that names them is
    written last, so a kill or a power failure at any time leaves the previous epoch intact. Files that were damaged
    since are found by their SHA-256.
    """

    def __init__(self, directory: str, *, monitor: str, patience: int):
        """Creates the callback.

        Args:
            directory: directory of the files; `restore` resumes an unfinished training from it.
            monitor: metric that determines the best epoch; higher is better.
            patience: epochs without improvement before training stops.
        """
        super().__init__()
        self._directory = directory
        self._monitor = monitor
        self._patience = patience
        self.state = TrainingState()

    def restore(self, model: keras.Model) -> int:
        """Restores the last finished epoch of a training in this directory, if there is one.

        If its files are damaged, the training continues from the best epoch, or begins again if that is damaged too.

        Args:
            model: compiled model whose weights and optimizer state are set.

        Returns:
            The number of finished epochs.
        """
        if self._read_state():
            # Before its first step, an optimizer has no variables to load into.
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._weights(self.state.epochs_done))
        return self.state.epochs_done

    def _read_state(self) -> bool:
        """Reads the state and checks the files that it names; returns whether there is an epoch to restore."""
        path = self._path(_STATE)
        if not tf.io.gfile.exists(path):
            return False
        try:
            with tf.io.gfile.GFile(path) as file:
                state = TrainingState(**json.load(file))
            last, best = (self._is_intact(state, epoch) for epoch in (state.epochs_done, state.best_epoch))
        except (ValueError, TypeError, tf.errors.OpError):
            state, last, best = TrainingState(), False, False
        if not last and best:
            # The training is the same as if it had been killed after this epoch.
            state.epochs_done = state.best_epoch
            state.history = {name: values[: state.best_epoch] for name, values in state.history.items()}
            logger.warning(
                f"the checkpoint {self._directory} is damaged; the training continues from epoch {state.best_epoch}"
            )
        elif not best:
            logger.warning(f"the checkpoint {self._directory} is damaged; the training begins again")
            self.remove()
            return False
        self.state = state
        return True

    def _is_intact(self, state: TrainingState, epoch: int) -> bool:
        path = self._weights(epoch)
        return tf.io.gfile.exists(path) and state.sha256.get(os.path.basename(path)) == _sha256(path)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        state = self.state
        for name, value in (logs or {}).items():
            state.history.setdefault(name, []).append(float(value))
        state.epochs_done = epoch + 1
        scores = state.history[self._monitor]
        state.best_epoch = 1 + max(range(len(scores)), key=scores.__getitem__)
        tf.io.gfile.makedirs(self._directory)
        self._save_weights(self._weights(state.epochs_done))
        kept_weights = {self._weights(epoch) for epoch in (state.epochs_done, state.best_epoch)}
        state.sha256 = {
            os.path.basename(path): state.sha256.get(os.path.basename(path)) or _sha256(path) for path in kept_weights
        }
        with tf.io.gfile.GFile(self._path(_STATE + ".tmp"), "w") as file:
            json.dump(asdict(state), file)
        _rename_durably(self._path(_STATE + ".tmp"), self._path(_STATE))
        kept = {*kept_weights, self._path(_STATE)}
        for name in tf.io.gfile.listdir(self._directory):
            if self._path(name) not in kept:
                tf.io.gfile.remove(self._path(name))
        if state.epochs_done - state.best_epoch >= self._patience:
            self.model.stop_training = True

    def is_finished(self, epochs: int) -> bool:
        """Returns whether a training of at most `epochs` epochs has ended."""
        state = self.state
        return state.epochs_done >= epochs or state.epochs_done - state.best_epoch >= self._patience

    def load_best(self, model: keras.Model) -> None:
        """Loads the weights of the best epoch into the model."""
        model.load_weights(self._weights(self.state.best_epoch))

    def remove(self) -> None:
        """Removes the checkpoint; call this after the network is exported."""
        tf.io.gfile.rmtree(self._directory)

    def last_good_weights(self) -> str | None:
        """Returns the file of the last finished epoch's weights, or None."""
        return self._weights(self.state.epochs_done) if self.state.epochs_done else None

    def _save_weights(self, path: str) -> None:
        partial = path.replace(".weights.h5", ".partial.weights.h5")
        self.model.save_weights(partial, overwrite=True)
        self.state.sha256.pop(os.path.basename(path), None)
        _rename_durably(partial, path)

    def _weights(self, epoch: int) -> str:
        return self._path(f"epoch-{epoch:03d}.weights.h5")

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)


def _sha256(path: str) -> str:
    with tf.io.gfile.GFile(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _rename_durably(source: str, target: str) -> None:
    """Renames a file after it is on disk; an object store has it there when its writer closes it."""
    if not is_remote(source):
        with open(source, "rb") as file:
            os.fsync(file.fileno())
    tf.io.gfile.rename(source, target, overwrite=True)
    if not is_remote(target):
        flush_directory(Path(target).parent)


class EpochSeeds(keras.callbacks.Callback):
    """Makes dropouts depend only on seed and epoch, so that a resumed training draws the same ones."""

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                # The second number counts the draws; no epoch has 2**20 of them.
                layer.seed_generator.state.assign([layer.seed, epoch << 20])


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stops training at the first step with a NaN or infinite loss, before it spoils the weights."""

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self._checkpoint = checkpoint
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        weights = self._checkpoint.last_good_weights()
        kept = f"the weights of the last finished epoch are in {weights}" if weights else "no epoch has finished"
        raise RunError(
            f"the loss became {loss} at step {batch + 1} of epoch {self._epoch}; {kept}. "
            "Lower trainer.learning_rate, or set trainer.precision to float32, and run again"
        )


class ProgressLog(keras.callbacks.Callback):
    """Logs the progress at most once per second, and adds learning rate, rows/s and seconds to the metrics."""

    def __init__(self, rows: int, steps: int, epochs: int):
        super().__init__()
        self._rows = rows
        self._steps = steps
        self._epochs = epochs
        self._epoch = 0
        self._epoch_began = self._last_report = self._validation_began = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1
        self._epoch_began = self._last_report = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if now - self._last_report < 1.0 or batch + 1 == self._steps:
            return
        self._last_report = now
        done = (batch + 1) / self._steps
        self._report("training", done, logs, rows_per_second=done * self._rows / (now - self._epoch_began))

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        seconds = now - self._epoch_began
        rows_per_second = self._rows / (self._validation_began - self._epoch_began)
        self._report("epoch done", 1.0, logs, rows_per_second=rows_per_second, seconds=round(seconds, 1))
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["rows_per_second"] = rows_per_second
        logs["seconds"] = seconds

    def on_test_begin(self, logs=None):
        self._validation_began = time.monotonic()

    def _report(self, event: str, done: float, logs, rows_per_second: float, **fields):
        metrics = {name: round(float(value), 4) for name, value in (logs or {}).items()}
        progress = {"epoch": self._epoch, "epochs": self._epochs, "done": round(done, 3)}
        logger.info(
            event, extra={"fields": {**progress, **metrics, "rows_per_second": round(rows_per_second), **fields}}
        )
