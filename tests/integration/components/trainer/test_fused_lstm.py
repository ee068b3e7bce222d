import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.architectures import FusedLSTM

MASK = np.array([[True] * 5, [True, True, False, False, False], [True] + [False] * 4])


def pair(bidirectional, **options):
    """Returns Keras' layer, FusedLSTM with the same weights, and an input."""
    generator = np.random.default_rng(1)
    sequences = tf.constant(generator.normal(size=(3, 5, 6)), tf.float32)
    theirs, ours = keras.layers.LSTM(4, **options), FusedLSTM(4, **options)
    if bidirectional:
        theirs, ours = keras.layers.Bidirectional(theirs), keras.layers.Bidirectional(ours)
    theirs(sequences), ours(sequences)
    weights = [generator.normal(size=weight.shape) for weight in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return theirs, ours, sequences


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_outputs_and_gradients_equal_those_of_the_keras_layer(bidirectional, return_sequences, mask):
    theirs, ours, sequences = pair(bidirectional, return_sequences=return_sequences)
    counted = MASK[:, :, np.newaxis] if mask is not None and return_sequences else 1.0
    found = []
    for layer in (theirs, ours):
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            outputs = layer(sequences, mask=mask) * counted
            loss = tf.reduce_sum(outputs**2)
        weights = [weight.value for weight in layer.trainable_variables]
        found.append([outputs, *tape.gradient(loss, [*weights, sequences])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_padding_comes_first_in_a_backward_layer_as_in_keras():
    theirs, ours, sequences = pair(False, return_sequences=True, go_backwards=True)
    one, other = theirs(sequences, mask=MASK), ours(sequences, mask=MASK)
    np.testing.assert_allclose(other[0], one[0], atol=1e-6)
    np.testing.assert_allclose(other[1, 3:], one[1, 3:], atol=1e-6)
    np.testing.assert_allclose(other[2, 4:], one[2, 4:], atol=1e-6)


def test_the_loop_over_time_is_one_operation():
    _, ours, sequences = pair(False)
    graph = tf.function(ours).get_concrete_function(sequences, mask=MASK).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "BlockLSTM" in kinds
    assert not kinds & {"While", "StatelessWhile", "CudnnRNNV3"}
