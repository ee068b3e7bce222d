import logging
import os

import keras
import numpy as np
import pytest

from components.trainer import recipe
from components.trainer.architectures import stacked_bilstm

ROWS, EPOCHS, STEPS = 64, 3, 8


def bag_of_words():
    """The smallest network with what the recipe has to deal with: weights and dropout."""
    return keras.Sequential(
        [
            keras.Input([5], dtype="int64"),
            keras.layers.Embedding(6, 8),
            keras.layers.Dropout(0.1, seed=1),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4, "softmax"),
        ]
    )


def bilstm():
    sizes = {"embedding_dim": 8, "lstm_units": 4, "dropout": 0.1, "word_dropout": 0.1}
    return stacked_bilstm(vocabulary_size=6, classes=4, seed=1, **sizes)


def train(tmp_path, network=bag_of_words, *, patience=5, ema_momentum=0.9, learning_rate=0.05):
    """A class is a word of the text: any network that learns finds it."""
    keras.utils.set_random_seed(1)
    labels = np.random.default_rng(1).integers(0, 4, ROWS)
    ids = np.tile(labels[:, np.newaxis] + 2, 5)
    model = network()
    recipe.compile_model(
        model, steps=STEPS * EPOCHS, learning_rate=learning_rate, weight_decay=1e-4, ema_momentum=ema_momentum
    )
    watching = recipe.callbacks(model, patience=patience, log_dir=str(tmp_path), rows=ROWS, steps=STEPS, epochs=EPOCHS)
    history = model.fit(
        ids, labels, batch_size=8, epochs=EPOCHS, validation_data=(ids, labels), callbacks=watching, verbose=0
    )
    return model, history


def test_training_lowers_the_loss(tmp_path):
    _, history = train(tmp_path)
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]


@pytest.mark.parametrize(("network", "ema_momentum"), [(bag_of_words, 0.0), (bilstm, 0.9)])
def test_the_same_seed_gives_the_same_weights(tmp_path, network, ema_momentum):
    first, _ = train(tmp_path / "a", network, ema_momentum=ema_momentum)
    second, _ = train(tmp_path / "b", network, ema_momentum=ema_momentum)
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_short_training_averages_over_a_tenth_of_its_steps():
    model = bag_of_words()
    recipe.compile_model(model, steps=100, learning_rate=0.01, weight_decay=0.0, ema_momentum=0.999)
    assert model.optimizer.ema_momentum == pytest.approx(0.9)
    recipe.compile_model(model, steps=100_000, learning_rate=0.01, weight_decay=0.0, ema_momentum=0.999)
    assert model.optimizer.ema_momentum == 0.999


def test_checkpoints_and_tensorboard_logs_are_written(tmp_path):
    train(tmp_path)
    assert {f"epoch-{epoch:02d}.weights.h5" for epoch in (1, 2, 3)} <= set(os.listdir(tmp_path))
    assert any(name.startswith("events.out.tfevents") for name in os.listdir(tmp_path / "train"))


def test_training_stops_when_validation_gets_no_better(tmp_path):
    _, history = train(tmp_path, patience=1, learning_rate=1e-12)
    assert len(history.epoch) == 2


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    model, history = train(tmp_path)
    best = int(np.argmax(history.history["val_accuracy"])) + 1
    checkpoint = keras.models.clone_model(model)
    checkpoint.load_weights(tmp_path / f"epoch-{best:02d}.weights.h5")
    for kept, written in zip(model.get_weights(), checkpoint.get_weights(), strict=True):
        np.testing.assert_allclose(kept, written, atol=1e-6)


def test_progress_is_logged_with_fields(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="components.trainer.recipe"):
        train(tmp_path)
    ends = [record.fields for record in caplog.records if record.getMessage() == "epoch done"]
    assert [(fields["epoch"], fields["epochs"], fields["done"]) for fields in ends] == [
        (1, 3, 1.0),
        (2, 3, 1.0),
        (3, 3, 1.0),
    ]
    assert {"loss", "accuracy", "val_accuracy", "rows_per_second"} <= set(ends[0])
