import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.architectures import build_network
from components.trainer.shapes import architecture

IDS = np.array([[5, 7, 9, 0, 0], [1, 2, 3, 4, 5]])
LABELS = np.array([1, 2])
SIZES = {"vocabulary_size": 12, "classes": 4, "seed": 1}


def network(perturbation=0.0, consistency=0.0, **changes):
    keras.utils.set_random_seed(1)
    model = build_network(architecture("lstm", **{"embedding_dropout": 0.0} | changes), **SIZES)
    # The step leaves the weights unchanged, so that only its reported loss matters.
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.use_copies, model.perturbation, model.consistency = True, perturbation, consistency
    return model


def loss_of_a_step(model):
    return float(model.train_step((tf.constant(IDS), tf.constant(LABELS)))["loss"])


def test_the_copy_loss_grows_with_the_perturbation():
    losses = [loss_of_a_step(network(size)) for size in (0.0, 0.1, 0.3)]
    assert losses[0] < losses[1] < losses[2]


def test_no_random_perturbation_has_a_higher_loss_than_the_gradient():
    """No random perturbation of the same size increases the loss of text and copy more, to first order."""
    model = network(0.1)
    embedding, mask = model.get_layer("embedding"), model.get_layer("mask")
    rest = keras.Model([embedding.output, mask.output], model.output)
    vectors, present = embedding(IDS), mask(IDS)

    def loss(moved):
        return float(model.compute_loss(y=LABELS, y_pred=rest([moved, present])))

    worst = 2 * loss_of_a_step(model) - loss(vectors)
    size = 0.1 * tf.norm(vectors * tf.cast(present, tf.float32)[:, :, None], axis=[1, 2], keepdims=True)
    for seed in range(20):
        direction = tf.random.stateless_normal(vectors.shape, [seed, 0])
        assert loss(vectors + size * direction / tf.norm(direction, axis=[1, 2], keepdims=True)) < worst


def test_padding_is_not_perturbed():
    model = network(0.2)
    vectors, present = model.get_layer("embedding")(IDS), model.get_layer("mask")(IDS)
    moved = model._perturbation(vectors, tf.ones_like(vectors), present)
    np.testing.assert_array_equal(moved[0, 3:], np.zeros((2, 64)))
    assert np.abs(moved[0, :3]).min() > 0


def test_the_perturbation_is_a_share_of_the_norm_of_the_text():
    model = network(0.2)
    vectors, present = model.get_layer("embedding")(IDS), model.get_layer("mask")(IDS)
    moved = model._perturbation(vectors, tf.ones_like(vectors), present)
    for text, count in ((0, 3), (1, 5)):
        assert np.linalg.norm(moved[text]) == pytest.approx(0.2 * np.linalg.norm(vectors[text, :count]), rel=1e-4)


def test_a_zero_gradient_perturbs_nothing():
    model = network(0.2)
    vectors, present = model.get_layer("embedding")(IDS), model.get_layer("mask")(IDS)
    np.testing.assert_array_equal(model._perturbation(vectors, tf.zeros_like(vectors), present), np.zeros((2, 5, 64)))


def test_a_step_follows_the_gradient_of_both_losses():
    """Compares with finite differences, for the word vectors and for the last layer."""
    model = network(0.1)
    weights = [model.get_layer("embedding").embeddings, model.get_layer("logits").kernel]
    seen = {}
    model.optimizer.apply_gradients = lambda updates: seen.update({id(w): tf.convert_to_tensor(g) for g, w in updates})
    moves = []
    perturbation = model._perturbation
    model._perturbation = lambda *arguments: moves.append(perturbation(*arguments)) or moves[-1]
    loss_of_a_step(model)
    embedding, mask = model.get_layer("embedding"), model.get_layer("mask")
    rest = keras.Model([embedding.output, mask.output], model.output)

    def loss():
        vectors, present = embedding(IDS), mask(IDS)
        copy = vectors + moves[0]
        return sum(float(model.compute_loss(y=LABELS, y_pred=rest([v, present]))) for v in (vectors, copy)) / 2

    for weight in weights:
        direction = np.random.default_rng(1).normal(size=weight.shape).astype(np.float32)
        before, size = weight.numpy(), 1e-2
        slope = 0.0
        for sign in (1, -1):
            weight.assign(before + sign * size * direction)
            slope += sign * loss() / (2 * size)
        weight.assign(before)
        assert float(tf.reduce_sum(seen[id(weight)] * direction)) == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_equal_predictions_have_no_divergence():
    """Without dropouts and perturbation the copy equals the text."""
    losses = [loss_of_a_step(network(consistency=weight)) for weight in (0.0, 5.0)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_loss_of_the_copy_includes_the_divergence():
    plain, weighted, twice = (
        loss_of_a_step(network(consistency=weight, embedding_dropout=0.5)) for weight in (0.0, 1.0, 2.0)
    )
    assert weighted > plain
    assert twice - plain == pytest.approx(2 * (weighted - plain), rel=1e-4)


def test_the_divergence_equals_scipys_kl_divergence():
    from scipy.stats import entropy

    model = network()
    one, other = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    expected = np.mean(
        [entropy(p, q) for p, q in zip(*map(np.array, (tf.nn.softmax(one), tf.nn.softmax(other))), strict=True)]
    )
    assert float(model._divergence(one, other)) == pytest.approx(expected, rel=1e-5)


def test_a_step_without_copies_has_the_loss_of_the_text():
    model = network(perturbation=0.3, consistency=3.0)
    model.use_copies = False
    expected = float(model.compute_loss(y=LABELS, y_pred=model(tf.constant(IDS), training=False)))
    assert loss_of_a_step(model) == pytest.approx(expected, rel=1e-6)
