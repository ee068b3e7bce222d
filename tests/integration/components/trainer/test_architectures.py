import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.architectures import MaskedPooling, TokenDropout, build_network
from components.trainer.shapes import ARCHITECTURES, architecture

SIZES = {"vocabulary_size": 50, "classes": 4}
DROPOUTS = {"word_dropout": 0.5, "embedding_dropout": 0.5, "feature_dropout": 0.5}
MASKED = [name for name, shape in ARCHITECTURES.items() if shape.masking]


def network(name, **options):
    keras.utils.set_random_seed(1)
    return build_network(architecture(name, **DROPOUTS), **SIZES, seed=1, **options)


def probabilities(model, rows):
    return keras.ops.convert_to_numpy(keras.ops.softmax(model(np.array(rows), training=False)))


@pytest.mark.parametrize(
    ("name", "embedding_dim", "weights_of_recurrent_layers"),
    [
        ("simple_rnn_titles", 64, 64 * 16 + 16 * 16 + 16),
        ("simple_rnn", 64, 64 * 16 + 16 * 16 + 16),
        ("lstm", 64, 4 * (64 * 8 + 8 * 8 + 8)),
        ("stacked_bilstm", 128, 2 * 4 * (128 * 64 + 64 * 64 + 64) * 2),
    ],
)
def test_sizes_equal_those_of_the_seed_notebook(name, embedding_dim, weights_of_recurrent_layers):
    model = network(name)
    recurrent = [layer for layer in model.layers if layer.name.startswith("recurrent_")]
    assert model.get_layer("embedding").output_dim == embedding_dim
    assert sum(layer.count_params() for layer in recurrent) == weights_of_recurrent_layers


def test_explicit_sizes_override_the_architecture():
    shape = architecture("lstm", units=5, depth=3, masking=False, embedding_dim=None)
    assert (shape.units, shape.depth, shape.masking, shape.embedding_dim) == (5, 3, False, 64)


@pytest.mark.parametrize("name", MASKED)
def test_padding_does_not_change_the_logits(name):
    """A text gets the same logits alone, in a padded batch and in its bucket, since the mask reaches every layer."""
    model = network(name)
    text = [5, 7, 9, 11]
    alone = probabilities(model, [text])[0]
    padded = probabilities(model, [text + [0] * 20, list(range(1, 25))])[0]
    in_bucket = probabilities(model, [[*text, 0], [3, 4, 5, 6, 7]])[0]
    np.testing.assert_allclose(padded, alone, atol=1e-5)
    np.testing.assert_allclose(in_bucket, alone, atol=1e-5)


def test_padding_changes_the_logits_without_a_mask():
    model = network("simple_rnn_titles")
    difference = probabilities(model, [[5, 7, 9, 11]]) - probabilities(model, [[5, 7, 9, 11] + [0] * 20])
    assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_masked_positions_have_no_gradient(name):
    model = network(name)
    table = model.get_layer("embedding").embeddings
    with tf.GradientTape() as tape:
        outcome = tf.reduce_sum(model(np.array([[5, 7, 9, 0, 0, 0], [1, 2, 3, 4, 5, 6]]), training=False)[:, 0])
    # Only padding uses the vector of id 0.
    gradient = tf.convert_to_tensor(tape.gradient(outcome, table.value)).numpy()
    seen = set(np.flatnonzero(np.abs(gradient).max(axis=1) > 0))
    assert seen == {1, 2, 3, 4, 5, 6, 7, 9} | (set() if name in MASKED else {0})


def test_plain_keras_layers_with_the_weights_give_the_same_outputs():
    model = network("stacked_bilstm")
    layers = [
        keras.layers.Embedding(50, 128, mask_zero=True),
        keras.layers.Bidirectional(keras.layers.LSTM(64, return_sequences=True)),
        keras.layers.Bidirectional(keras.layers.LSTM(64, return_sequences=True)),
        keras.layers.Dense(4),
    ]
    ids = np.array([[5, 7, 9, 0, 0], [1, 2, 3, 4, 5]])
    embedding, first, second, dense = layers
    states = second(first(embedding(ids)))
    dense.build((None, 256))
    for layer, name in zip(layers, ("embedding", "recurrent_1", "recurrent_2", "logits"), strict=True):
        layer.set_weights(model.get_layer(name).get_weights())
    states = np.array(second(first(embedding(ids))))
    counts = [3, 5]
    pooled = np.stack(
        [np.concatenate([row[:count].max(0), row[:count].mean(0)]) for row, count in zip(states, counts, strict=True)]
    )
    np.testing.assert_allclose(np.array(model(ids, training=False)), np.array(dense(pooled)), atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "stacked_bilstm"])
def test_layers_without_cudnn_have_the_same_weights_and_outputs(name):
    model, portable = network(name), network(name, use_cudnn=False)
    portable.set_weights(model.get_weights())
    batch = [[5, 7, 9, 0], [1, 2, 3, 4]]
    np.testing.assert_allclose(probabilities(portable, batch), probabilities(model, batch), atol=1e-6)


def test_frozen_word_vectors_are_not_trained():
    assert "embedding" not in {variable.path.split("/")[0] for variable in frozen().trainable_variables}


def frozen():
    return network("lstm", embedding_trainable=False)


def test_word_dropout_replaces_words_but_not_padding():
    ids = np.tile([7, 8, 9, 0], (200, 1))
    dropped = np.array(TokenDropout(0.5, seed=1)(ids, training=True))
    assert (dropped[:, 3] == 0).all()
    assert set(np.unique(dropped[:, :3])) == {1, 7, 8, 9}
    assert 0.4 < (dropped[:, :3] == 1).mean() < 0.6


def test_word_dropout_does_nothing_outside_training():
    ids = np.array([[7, 8, 9, 0]])
    np.testing.assert_array_equal(TokenDropout(0.9, seed=1)(ids, training=False), ids)


def test_pooling_takes_maximum_and_mean_of_unmasked_steps():
    states = np.array([[[-3.0], [-1.0], [5.0]]], np.float32)
    np.testing.assert_allclose(MaskedPooling()(states), [[5, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(MaskedPooling()(states, mask=np.array([[True, True, False]])), [[-1, -2]])
