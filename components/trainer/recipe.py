"""How the network is trained: optimizer, schedule, weight averaging, stopping, and what is reported on the way."""

import logging
import math
import time

import keras
import tensorflow as tf

logger = logging.getLogger(__name__)

_WARMUP_SHARE = 0.05


def compile_model(
    model: keras.Model, *, steps: int, learning_rate: float, weight_decay: float, ema_momentum: float
) -> None:
    """Attaches AdamW (Loshchilov and Hutter 2019) with linear warm-up, cosine decay and averaged weights.

    Args:
        model: gives probabilities [batch, classes].
        steps: training steps in all, which the schedule spans.
        learning_rate: its peak.
        weight_decay: decoupled decay a step, times the learning rate.
        ema_momentum: momentum of the exponential moving average of the weights; 0 turns it off. A short training
            averages over a tenth of its steps at most: else the random first weights would still be in the average.
    """
    warmup = max(1, math.ceil(_WARMUP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=weight_decay,
        clipnorm=1.0,
        use_ema=ema_momentum > 0,
        ema_momentum=min(ema_momentum, max(0.0, 1 - 10 / steps)),
    )
    # XLA cannot compile cuDNN's recurrent layers.
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)


def callbacks(model: keras.Model, *, patience: int, log_dir: str, rows: int, steps: int, epochs: int) -> list:
    """What watches the training of a compiled `model`.

    Args:
        model: compiled by `compile_model`.
        patience: epochs without a better validation accuracy before training stops; the best weights are kept.
        log_dir: where TensorBoard's logs and the checkpoint of each epoch go.
        rows: training rows of an epoch.
        steps: training steps of an epoch.
        epochs: epochs at most.
    """
    watching = [
        keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=patience, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(f"{log_dir}/epoch-{{epoch:02d}}.weights.h5", save_weights_only=True),
        keras.callbacks.TensorBoard(log_dir, write_graph=False),
        keras.callbacks.TerminateOnNaN(),
        ProgressLog(rows, steps, epochs),
    ]
    # First, so that the others see the averaged weights at the end of an epoch.
    return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), *watching] if model.optimizer.use_ema else watching


class ProgressLog(keras.callbacks.Callback):
    """Logs epoch, step, loss, accuracy and rows/s, at most once a second."""

    def __init__(self, rows: int, steps: int, epochs: int):
        super().__init__()
        self._rows = rows
        self._steps = steps
        self._epochs = epochs
        self._epoch = 0
        self._epoch_began = self._last_report = 0.0

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
        seconds = time.monotonic() - self._epoch_began
        self._report("epoch done", 1.0, logs, seconds=round(seconds, 1), rows_per_second=self._rows / seconds)

    def _report(self, event: str, done: float, logs, rows_per_second: float, **fields):
        metrics = {name: round(float(value), 4) for name, value in (logs or {}).items() if name != "learning_rate"}
        progress = {"epoch": self._epoch, "epochs": self._epochs, "done": round(done, 3)}
        logger.info(
            event, extra={"fields": {**progress, **metrics, "rows_per_second": round(rows_per_second), **fields}}
        )


def grow_gpu_memory() -> None:
    """Lets TensorFlow take GPU memory as it needs it instead of all at once."""
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:  # An earlier stage in this process has initialised the device.
            logger.warning("GPU memory growth could not be set", extra={"fields": {"gpu": gpu.name, "reason": error}})
