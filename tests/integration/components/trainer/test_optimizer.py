import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.optimizer import RowwiseAdamW

TABLE = np.arange(12, dtype=np.float32).reshape(6, 2)


def slices(rows, values):
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), tf.constant([6, 2]))


def stepped(gradients, optimizer):
    table = keras.Variable(TABLE)
    for gradient in gradients:
        optimizer.apply([gradient], [table])
    return table.numpy()


def rowwise(**options):
    return RowwiseAdamW(0.1, clip_global_norm=1e9, **options)


def test_rows_of_a_batch_are_updated_like_adamw():
    dense = np.zeros_like(TABLE)
    dense[[1, 4]] = [[1, 2], [3, -4]]
    expected = stepped([tf.constant(dense)], keras.optimizers.AdamW(0.1, weight_decay=0.0))
    np.testing.assert_allclose(stepped([slices([1, 4], [[1, 2], [3, -4]])], rowwise()), expected, atol=1e-5)


def test_rows_of_every_batch_are_updated_like_adamw():
    every = list(range(6))
    gradients = np.random.default_rng(1).normal(size=(5, 6, 2)).astype(np.float32)
    expected = stepped(map(tf.constant, gradients), keras.optimizers.AdamW(0.1, weight_decay=0.0))
    np.testing.assert_allclose(stepped([slices(every, values) for values in gradients], rowwise()), expected, atol=1e-5)


def test_a_row_outside_the_batch_is_not_updated():
    moved = stepped([slices([1], [[1, 1]]), slices([2], [[1, 1]])], rowwise())
    np.testing.assert_array_equal(moved[[0, 3, 4, 5]], TABLE[[0, 3, 4, 5]])
    after_first = stepped([slices([1], [[1, 1]])], rowwise())
    np.testing.assert_array_equal(moved[1], after_first[1])


def test_gradients_of_a_repeated_word_are_summed():
    twice = stepped([slices([3, 1, 3], [[1, 2], [5, 5], [4, -1]])], rowwise())
    once = stepped([slices([1, 3], [[5, 5], [5, 1]])], rowwise())
    np.testing.assert_allclose(twice, once, atol=1e-6)


def test_gradients_are_clipped_by_their_global_norm():
    seen = []

    class Watched(RowwiseAdamW):
        def update_step(self, gradient, variable, learning_rate):
            seen.append(tf.convert_to_tensor(gradient).numpy())

    table, bias = keras.Variable(TABLE), keras.Variable(np.zeros(2, np.float32))
    Watched(0.1, clip_global_norm=1.0).apply([slices([0], [[3, 0]]), tf.constant([0.0, 4.0])], [table, bias])
    assert np.sqrt(sum((gradient**2).sum() for gradient in seen)) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(seen[1], [0, 0.8], rtol=1e-5)


def test_the_optimizer_config_survives_saving():
    optimizer = RowwiseAdamW(0.1, weight_decay=0.5, clip_global_norm=2.0, row_rate=3.0)
    restored = RowwiseAdamW.from_config(optimizer.get_config())
    assert (restored.clip_global_norm, restored.weight_decay, restored.row_rate) == (2.0, 0.5, 3.0)


def test_row_rate_scales_only_sparse_updates():
    gradient = slices([1], [[1, 1]])
    once, thrice = stepped([gradient], rowwise()), stepped([gradient], rowwise(row_rate=3.0))
    np.testing.assert_allclose(thrice - TABLE, 3 * (once - TABLE), rtol=1e-4)
    dense = stepped([tf.ones([6, 2])], rowwise(row_rate=3.0))
    np.testing.assert_array_equal(dense, stepped([tf.ones([6, 2])], rowwise()))
