"""Tests the wide part alone, and as a part of a network that is trained, exported and described."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.architectures import build_network
from components.trainer.optimizer import RowwiseAdamW, compile_model
from components.trainer.shapes import architecture, architecture_of
from components.trainer.wide import PAIR_ROWS, WideLogits, pair_rows

IDS = np.array([[5, 7, 9, 0, 0], [1, 2, 3, 4, 5]])
LABELS = np.array([1, 2])


@pytest.fixture
def layer():
    """A wide part with random weights, also for the padding."""
    layer = WideLogits(12, 4)
    layer.build((None, None))
    generator = np.random.default_rng(1)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer


def test_the_logits_are_the_scaled_sum_of_the_weights_of_words_and_pairs(layer):
    words, pairs = layer.get_weights()
    rows = pair_rows(np.array([5, 7]), np.array([7, 9]))
    expected = 4 * (words[[5, 7, 9]].sum(axis=0) + pairs[rows].sum(axis=0)) / np.sqrt(5)
    np.testing.assert_allclose(layer(IDS)[0], expected, rtol=1e-5)


def test_a_text_of_one_word_has_no_pairs(layer):
    np.testing.assert_allclose(layer(np.array([[5]]))[0], 4 * layer.get_weights()[0][5], rtol=1e-5)


def test_padding_does_not_change_the_logits(layer):
    np.testing.assert_allclose(layer(IDS[:1, :3])[0], layer(IDS)[0], rtol=1e-5)


def test_the_pairs_of_a_large_vocabulary_have_few_collisions():
    """Of a table that is filled to a fifth, the pairs should share as few rows as random ones would."""
    first, second = np.random.default_rng(1).integers(2, 50_000, (2, PAIR_ROWS // 5))
    distinct = len(np.unique(pair_rows(first, second)))
    assert distinct == pytest.approx(PAIR_ROWS * (1 - np.exp(-1 / 5)), rel=0.01)
    assert 0 <= pair_rows(first, second).min() <= pair_rows(first, second).max() < PAIR_ROWS


def test_the_order_of_a_pair_matters():
    assert pair_rows(3, 4) != pair_rows(4, 3)


def test_a_new_wide_part_adds_nothing(layer):
    assert not np.any(WideLogits(12, 4)(IDS))


def network(**changes):
    keras.utils.set_random_seed(1)
    shape = architecture("stacked_bilstm", **{"embedding_dim": 8, "units": 4, "wide": True} | changes)
    return build_network(shape, vocabulary_size=12, classes=4)


def weights(model, name):
    return dict(zip(("words", "pairs"), model.get_layer(name).get_weights(), strict=True))


@pytest.mark.parametrize("copies", [False, True])
def test_a_step_moves_the_rows_of_the_batch_alone(copies):
    model = network(consistency=1.0, perturbation=0.05)
    model.compile(RowwiseAdamW(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.use_copies = copies
    model.train_step((tf.constant(IDS), tf.constant(LABELS)))
    moved = {name: set(np.flatnonzero(np.abs(table).max(axis=1))) for name, table in weights(model, "wide").items()}
    assert moved["words"] == {1, 2, 3, 4, 5, 7, 9}
    pairs = [(5, 7), (7, 9), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert moved["pairs"] == {pair_rows(*pair) for pair in pairs}


def test_copies_leave_the_gradient_of_the_wide_part_that_of_both_losses():
    """Without dropouts and perturbation the copy equals the text, so the step must be the one without copies."""
    still = {"word_dropout": 0.0, "embedding_dropout": 0.0, "feature_dropout": 0.0, "consistency": 0.0}
    seen = []
    for copies in (False, True):
        model = network(**still, perturbation=0.0)
        model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.use_copies = copies
        model.train_step((tf.constant(IDS), tf.constant(LABELS)))
        seen.append(weights(model, "wide"))
    for name in ("words", "pairs"):
        assert np.abs(seen[0][name]).max() > 0
        np.testing.assert_allclose(seen[0][name], seen[1][name], atol=1e-6)


def test_the_gradients_of_both_tables_are_sparse():
    kinds = {}

    class Watched(RowwiseAdamW):
        def update_step(self, gradient, variable, learning_rate):
            kinds[variable.name] = type(gradient)

    model = network()
    model.compile(Watched(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for copies in (False, True):
        model.use_copies = copies
        model.train_step((tf.constant(IDS), tf.constant(LABELS)))
        sparse = {name for name, kind in kinds.items() if kind is tf.IndexedSlices}
        assert sparse == {"embedding/embeddings:0", "wide/words:0", "wide/pairs:0"}


def test_the_tables_do_not_decay(recipe):
    model = network()
    compile_model(model, recipe(), steps=10)
    decayed = {weight.path for weight in model.trainable_weights if model.optimizer._use_weight_decay(weight)}
    assert not {path for path in decayed if path.startswith(("embedding/", "wide/"))}
    assert {path for path in decayed if path.startswith("logits/")}


def test_a_network_without_a_wide_part_has_no_such_layer():
    assert "wide" not in [layer.name for layer in network(wide=False).layers]


def test_a_recipe_from_before_the_wide_part_has_none():
    """The weights of an earlier export fit only a network without a wide part."""
    assert not architecture_of({"architecture": "stacked_bilstm"}).wide
    assert architecture_of({"architecture": "stacked_bilstm", "wide": True}).wide


def test_the_layer_is_rebuilt_from_its_configuration(layer):
    again = WideLogits.from_config(layer.get_config())
    again.build((None, None))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(IDS), layer(IDS))


def test_the_wide_part_is_computed_in_float32_under_mixed_precision():
    from components.trainer import devices

    with devices.precision("mixed_bfloat16"):
        model = network()
    assert model.get_layer("wide").compute_dtype == "float32"
    assert model(IDS).dtype == tf.float32


def test_a_training_step_reads_only_the_rows_of_its_words():
    """A table with sparse updates is copied each time that it is read as a whole."""
    network = build_network(architecture("stacked_bilstm", embedding_dim=3, units=2), vocabulary_size=17, classes=4)
    step = tf.function(lambda ids: network(ids, training=True)).get_concrete_function(
        tf.TensorSpec([None, None], "int32")
    )
    read = {tuple(operation.outputs[0].shape) for operation in step.graph.get_operations() if operation.outputs}
    assert read.isdisjoint({(17, 3), (17, 4), (PAIR_ROWS, 4)})
