import numpy as np
import pytest

from components.trainer.architectures import TokenDropout, stacked_bilstm

SIZES = {"vocabulary_size": 50, "classes": 4, "embedding_dim": 8, "lstm_units": 4, "dropout": 0.5, "word_dropout": 0.5}


@pytest.fixture(scope="module")
def network():
    return stacked_bilstm(**SIZES, seed=1)


def test_probabilities_of_a_text_sum_to_one(network):
    probabilities = network.predict(np.array([[5, 7, 9]]), verbose=0)
    assert probabilities.shape == (1, 4)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-6)


def test_padding_does_not_change_an_answer(network):
    """The mask reaches both layers and the pooling: a text alone and in a padded batch are the same to the network."""
    text = [5, 7, 9, 11]
    alone = network.predict(np.array([text]), verbose=0)
    padded = network.predict(np.array([text + [0] * 20, list(range(1, 25))]), verbose=0)
    np.testing.assert_allclose(padded[0], alone[0], atol=1e-6)


def test_without_cudnn_the_layers_hold_the_same_weights_and_give_the_same_answers(network):
    portable = stacked_bilstm(**SIZES, seed=1, use_cudnn=False)
    portable.set_weights(network.get_weights())
    batch = np.array([[5, 7, 9, 0], [1, 2, 3, 4]])
    np.testing.assert_allclose(portable.predict(batch, verbose=0), network.predict(batch, verbose=0), atol=1e-6)


def test_word_dropout_replaces_words_by_the_unknown_one_and_leaves_padding():
    ids = np.tile([7, 8, 9, 0], (200, 1))
    dropped = np.array(TokenDropout(0.5, seed=1)(ids, training=True))
    assert (dropped[:, 3] == 0).all()
    assert set(np.unique(dropped[:, :3])) == {1, 7, 8, 9}
    assert 0.4 < (dropped[:, :3] == 1).mean() < 0.6


def test_word_dropout_does_nothing_outside_training():
    ids = np.array([[7, 8, 9, 0]])
    np.testing.assert_array_equal(TokenDropout(0.9, seed=1)(ids, training=False), ids)


def test_pooling_without_a_mask_is_an_error():
    from components.trainer.architectures import MaskedPooling

    with pytest.raises(ValueError, match="mask_zero"):
        MaskedPooling()(np.zeros([1, 2, 3], np.float32))
