"""How the network is trained: all its numbers, the optimizer, the schedule, and what is reported on the way."""

import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from components.trainer.architectures import Architecture, architecture
from components.trainer.checkpoints import Checkpoint
from components.trainer.input_pipeline import Buckets
from components.trainer.optimizer import RowwiseAdamW
from components.trainer.twin import TwinNetwork
from schema.errors import RunError

logger = logging.getLogger(__name__)

_WARMUP_SHARE = 0.05
_OF_NETWORK = (
    *("embedding_dim", "units", "depth", "masking", "pooling"),
    *("word_dropout", "embedding_dropout", "feature_dropout", "consistency", "perturbation"),
)


@dataclass(frozen=True)
class Recipe:
    """What determines a training, beside its rows: the trainer's settings (pipeline.settings has their meaning)."""

    architecture: str
    embedding_dim: int | None
    units: int | None
    depth: int | None
    masking: bool | None
    pooling: str | None
    word_vectors: str
    word_vectors_window: int
    word_vectors_trainable: bool
    word_dropout: float | None
    embedding_dropout: float | None
    feature_dropout: float | None
    consistency: float | None
    perturbation: float | None
    plain_epochs: int
    epochs: int
    patience: int
    batch_tokens: int | None
    bucket_boundaries: tuple[int, ...]
    learning_rate: float
    word_vectors_rate: float
    weight_decay: float
    precision: str
    seed: int

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Recipe":
        """Takes its fields from the Trainer component's configuration, which holds more."""
        values = {field.name: config[field.name] for field in dataclasses.fields(cls)}
        return cls(**values | {"bucket_boundaries": tuple(values["bucket_boundaries"])})

    @property
    def network(self) -> Architecture:
        """The shape of the network and its dropouts, those of its name where none is set."""
        return network_of(vars(self))

    def buckets(self, batch_tokens: int) -> Buckets:
        """How rows are batched."""
        return Buckets(self.bucket_boundaries, batch_tokens)


def network_of(config: Mapping[str, Any]) -> Architecture:
    """The network of a recipe in the form of a mapping, for instance of one that an export tells of."""
    return architecture(config["architecture"], **{name: config.get(name) for name in _OF_NETWORK})


def compile_model(model: TwinNetwork, recipe: Recipe, *, steps: int) -> None:
    """Attaches loss, accuracy and AdamW with linear warm-up and cosine decay to zero.

    Args:
        model: gives logits [batch, classes] and has a layer `embedding`.
        recipe: has the numbers.
        steps: training steps in all, which the schedule spans.
    """
    warmup = max(1, math.ceil(_WARMUP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    optimizer = RowwiseAdamW(schedule, weight_decay=recipe.weight_decay, row_rate=recipe.word_vectors_rate)
    optimizer.exclude_from_weight_decay(var_list=model.get_layer("embedding").variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.perturbation, model.consistency = recipe.network.perturbation, recipe.network.consistency
    # XLA cannot compile cuDNN's recurrent layers.
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


class EpochSeeds(keras.callbacks.Callback):
    """Makes an epoch's dropouts depend on seed and epoch alone, so that a resumed training draws the same."""

    def on_epoch_begin(self, epoch, logs=None):
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                # The second number counts the draws; no epoch has so many.
                layer.seed_generator.state.assign([layer.seed, epoch << 20])


class TwinsAfter(keras.callbacks.Callback):
    """Trains with twins from some epoch on: a network that knows nothing yet learns nothing from agreeing with itself.

    Args:
        plain_epochs: how many come before.
    """

    def __init__(self, plain_epochs: int):
        super().__init__()
        self._plain_epochs = plain_epochs

    def on_epoch_begin(self, epoch, logs=None):
        model = self.model
        twins = epoch >= self._plain_epochs and bool(model.perturbation or model.consistency)
        if twins != model.twins:
            model.twins = twins
            model.make_train_function(force=True)


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stops at the first step whose loss is not a number; later steps would spoil every weight."""

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
        kept = f"the weights of the last finished epoch are in {weights}" if weights else "no epoch was finished"
        raise RunError(
            f"the loss became {loss} at step {batch + 1} of epoch {self._epoch}; {kept}. "
            "Lower trainer.learning_rate, or set trainer.precision to float32, and run again"
        )


class ProgressLog(keras.callbacks.Callback):
    """Logs epoch, loss, accuracy and rows/s, at most once a second; adds learning rate and seconds to the metrics."""

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
