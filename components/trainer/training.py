"""Trains a network on tokenized rows until it is ready for export."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import calibration, devices
from components.trainer.adversarial import StartConsistencyAfter
from components.trainer.architectures import build_network
from components.trainer.batches import Buckets, TokenizedRows, bucketed_batches
from components.trainer.callbacks import Checkpoint, EpochSeeds, ProgressLog, StopOnNonFiniteLoss
from components.trainer.optimizer import compile_model
from components.trainer.shapes import RANDOM, architecture_of
from components.trainer.warm_start import BaseModel, Overlap
from schema.model_contract import CLASS_COUNT, RESERVED_IDS
from schema.splits import TRAIN, VAL

if TYPE_CHECKING:
    from components.trainer.input_pipeline import StreamedRows
    from components.trainer.settings import Recipe

logger = logging.getLogger(__name__)

_MONITOR = "val_accuracy"


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        network: maps token ids [batch, time] to logits [batch, classes]; has the weights of the best epoch.
        checkpoint: the training's checkpoint; remove it once the network is exported.
        facts: description of the training: `history` by metric and epoch, `best_epoch`, sizes, device, calibration,
            seconds, and `rows_sha256`, the fingerprint of each split's rows.
    """

    network: keras.Model
    checkpoint: Checkpoint
    facts: dict[str, Any]


def train(
    train_rows: "TokenizedRows | StreamedRows",
    val_rows: TokenizedRows,
    words: Sequence[str],
    recipe: "Recipe",
    *,
    checkpoint_root: str,
    code: str = "",
    log_dir: str | None = None,
    base: BaseModel | None = None,
    vectors: np.ndarray | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    classes: int = CLASS_COUNT,
) -> Trained:
    """Trains a network, or resumes a killed training of the same rows and recipe.

    Args:
        train_rows: rows to learn from. Word vectors are learned from one window of streamed rows.
        val_rows: rows that determine the best epoch and the temperature.
        words: words of the vocabulary, in the order of their ids from 2 on.
        recipe: the recipe.
        checkpoint_root: directory for checkpoints; each training has a folder named by a hash of its inputs.
        code: version of the code; a checkpoint is used only by the same version.
        log_dir: directory for TensorBoard logs; None writes no logs.
        base: model to start from; None starts from initial weights.
        vectors: initial word vectors, float32 [words + 2, dimensions]; None makes them as the recipe says.
        callbacks: additional Keras callbacks.
        classes: number of classes.

    Raises:
        SettingsError: the file of word vectors does not fit.
        RunError: the loss became NaN or infinite.
    """
    began = time.monotonic()
    keras.utils.set_random_seed(recipe.seed)
    gpus = devices.grow_gpu_memory()
    if not gpus:
        tf.config.experimental.enable_op_determinism()
    fingerprints = {TRAIN: train_rows.fingerprint(), VAL: val_rows.fingerprint()}
    architecture = architecture_of(vars(recipe))
    if architecture.titles_only:
        train_rows, val_rows = train_rows.titles(), val_rows.titles()
    why_not_cudnn = devices.why_not_cudnn(architecture, gpus=gpus, built_with_cuda=tf.test.is_built_with_cuda())
    buckets = Buckets(recipe.bucket_boundaries, recipe.batch_tokens)
    steps = buckets.batch_count(train_rows)

    strategy = devices.strategy(gpus)
    with strategy.scope(), devices.precision(recipe.precision):
        network = _build_compiled(recipe, words, steps=steps, classes=classes)
    key = _checkpoint_key(train_rows, val_rows, recipe, code, base, vectors)
    checkpoint = Checkpoint(os.path.join(checkpoint_root, key), monitor=_MONITOR, patience=recipe.patience)
    facts = {
        "rows": len(train_rows),
        "tokens_per_row": round(float(train_rows.sample().token_counts.mean()), 1),
        "steps": steps,
        "parameters": network.count_params(),
        "replicas": strategy.num_replicas_in_sync,
        "cudnn": "used" if why_not_cudnn is None else f"not used: {why_not_cudnn}",
    }
    logger.info("training begins", extra={"fields": facts})
    overlap = Overlap.of(network, words, base) if base else None
    if base and overlap:
        facts["warm_start"] = overlap.facts(network, words, base)
        logger.info("warm start", extra={"fields": facts["warm_start"]})
    epochs_done = checkpoint.restore(network)
    seconds_before = sum(checkpoint.state.history.get("seconds", []))
    if epochs_done:
        logger.info("training resumes from a checkpoint", extra={"fields": {"epochs_done": epochs_done}})
    else:
        _set_word_vectors(network, train_rows, words, recipe, vectors)
        if base and overlap:
            overlap.copy_weights(network, base, train_rows.sample())
    if not checkpoint.is_finished(architecture.epochs):
        logs = [keras.callbacks.TensorBoard(log_dir, write_graph=False)] if log_dir else []
        with devices.keep_freed_memory():
            _fit(network, train_rows, val_rows, recipe, buckets, steps, checkpoint, [*callbacks, *logs])
    checkpoint.load_best(network)

    logits = predict_logits(network, val_rows, buckets)
    facts |= {
        "rows_sha256": fingerprints,
        "history": checkpoint.state.history,
        "best_epoch": checkpoint.state.best_epoch,
        "calibration": calibration.calibrate(logits, val_rows.labels),
        "seconds": seconds_before + time.monotonic() - began,
    }
    return Trained(network, checkpoint, facts)


def predict_logits(network: keras.Model, rows: TokenizedRows, buckets: Buckets) -> np.ndarray:
    """Returns the network's logits, float32 [rows, classes], in the order of the rows."""
    order = np.concatenate([bucket for bucket, _ in buckets.split(rows)])
    batches = bucketed_batches(rows, buckets)
    if devices.worker_count() > 1:  # Keras would split the batches among the workers and return them in another order.
        in_buckets = np.concatenate([network(token_ids, training=False).numpy() for token_ids, _ in batches])
    else:
        in_buckets = network.predict(batches, verbose=0)
    logits = np.empty_like(in_buckets)
    logits[order] = in_buckets
    return logits


def _build_compiled(recipe: "Recipe", words: Sequence[str], *, steps: int, classes: int) -> keras.Model:
    network = build(recipe, vocabulary_size=len(words) + RESERVED_IDS, classes=classes)
    compile_model(network, recipe, steps=steps * architecture_of(vars(recipe)).epochs)
    return network


def build(
    recipe: "Recipe", *, vocabulary_size: int, classes: int = CLASS_COUNT, use_cudnn: bool | str = "auto"
) -> keras.Model:
    """Builds the untrained network of a recipe."""
    return build_network(
        architecture_of(vars(recipe)),
        vocabulary_size=vocabulary_size,
        classes=classes,
        seed=recipe.seed,
        embedding_trainable=recipe.word_vectors_trainable,
        use_cudnn=use_cudnn,
    )


def _set_word_vectors(
    network: keras.Model,
    train_rows: "TokenizedRows | StreamedRows",
    words: Sequence[str],
    recipe: "Recipe",
    vectors: np.ndarray | None,
) -> None:
    if vectors is None and recipe.word_vectors != RANDOM:
        # It needs SciPy; where that is missing, the vectors come with the rows.
        from components.trainer import word_vectors

        vectors = word_vectors.make(train_rows.sample(), words, recipe)
    if vectors is not None:
        network.get_layer("embedding").set_weights([vectors])


def _fit(
    network: keras.Model,
    train_rows: "TokenizedRows | StreamedRows",
    val_rows: TokenizedRows,
    recipe: "Recipe",
    buckets: Buckets,
    steps: int,
    checkpoint: Checkpoint,
    further_callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    epochs, epochs_done = architecture_of(vars(recipe)).epochs, checkpoint.state.epochs_done
    # ProgressLog comes before Checkpoint, which stores the metrics that ProgressLog adds.
    progress = ProgressLog(len(train_rows), steps, epochs)
    callbacks = [
        EpochSeeds(),
        StartConsistencyAfter(recipe.plain_epochs),
        progress,
        StopOnNonFiniteLoss(checkpoint),
        checkpoint,
        *further_callbacks,
    ]
    if network.distribute_strategy.num_replicas_in_sync > 1:
        # Builds the metrics, which ConsistencyModel's fit does not.
        network.test_on_batch(*next(iter(bucketed_batches(val_rows, buckets))))
    network.fit(
        bucketed_batches(train_rows, buckets, seed=recipe.seed, first_pass=epochs_done, count=steps),
        validation_data=bucketed_batches(val_rows, buckets),
        initial_epoch=epochs_done,
        epochs=epochs,
        callbacks=callbacks,
        shuffle=False,  # The batches are already shuffled.
        verbose=0,
    )


def _checkpoint_key(
    train_rows: "TokenizedRows | StreamedRows",
    val_rows: TokenizedRows,
    recipe: "Recipe",
    code: str,
    base: BaseModel | None,
    vectors: np.ndarray | None,
) -> str:
    determined_by = (
        train_rows.fingerprint(),
        val_rows.fingerprint(),
        vars(recipe),
        code,
        *([base.place] if base else []),
        *([hashlib.sha256(vectors.tobytes()).hexdigest()] if vectors is not None else []),
    )
    # With several workers, each one has its own checkpoint.
    suffix = f"-worker-{devices.worker_index()}" if devices.worker_index() else ""
    return hashlib.sha256(json.dumps(determined_by).encode()).hexdigest()[:16] + suffix
