"""Measures when a training reaches an accuracy."""

import time

import keras

from components.trainer.batches import Buckets, TokenizedRows
from components.trainer.training import predict_logits

_ASK_EVERY = 25


class AccuracyWatch(keras.callbacks.Callback):
    """Records when val accuracy reaches a target; the clock stops during the checks.

    Attributes:
        seconds_to_target: seconds from the creation of this callback until then, or None.
        epoch_seconds: seconds of the training steps of each epoch so far.
    """

    def __init__(self, val_rows: TokenizedRows, buckets: Buckets, target: float):
        """Creates the callback.

        Args:
            val_rows: rows on which accuracy is measured.
            buckets: how to make batches of them.
            target: the accuracy to reach.
        """
        super().__init__()
        self._val_rows = val_rows
        self._buckets = buckets
        self._target = target
        self._began = self._step_began = time.monotonic()
        self._asked = 0.0
        self.seconds_to_target: float | None = None
        self.epoch_seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_seconds.append(0.0)
        self._step_began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        self.epoch_seconds[-1] += now - self._step_began
        if self.seconds_to_target is None and batch % _ASK_EVERY == _ASK_EVERY - 1:
            logits = predict_logits(self.model, self._val_rows, self._buckets)
            if (logits.argmax(axis=1) == self._val_rows.labels).mean() >= self._target:
                self.seconds_to_target = now - self._began - self._asked
            self._asked += time.monotonic() - now
        self._step_began = time.monotonic()
