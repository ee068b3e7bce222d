import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipeline.experiments.compare import seed_notebook


@pytest.fixture(scope="module")
def text_to_ids():
    return seed_notebook.vectorizer(["oil prices rise", "goal wins cup"])


def recurrent(network):
    """Returns the class and units of each recurrent layer, in order."""
    kinds = (layers.SimpleRNN, layers.LSTM, layers.Bidirectional)
    found = [layer for layer in network.layers if isinstance(layer, kinds)]
    return [(type(layer).__name__, getattr(layer, "forward_layer", layer).units) for layer in found]


@pytest.mark.parametrize(
    ("name", "width", "masked", "expected"),
    [
        ("simple_rnn_titles", 64, False, [("SimpleRNN", 16)]),
        ("simple_rnn", 64, True, [("SimpleRNN", 16)]),
        ("lstm", 64, False, [("LSTM", 8)]),
        ("stacked_bilstm", 128, True, [("Bidirectional", 64), ("Bidirectional", 64)]),
    ],
)
def test_sizes_and_masks_equal_the_notebooks(text_to_ids, name, width, masked, expected):
    network = seed_notebook.network(name, text_to_ids)
    [embedding] = [layer for layer in network.layers if isinstance(layer, layers.Embedding)]
    assert (embedding.input_dim, embedding.output_dim, embedding.mask_zero) == (20_000, width, masked)
    assert recurrent(network) == expected
    assert network.output_shape == (None, 4)


def test_a_network_returns_probabilities_for_texts(text_to_ids):
    found = seed_notebook.network("lstm", text_to_ids)(tf.constant([["oil prices"], ["goal"]])).numpy()
    np.testing.assert_allclose(found.sum(axis=1), [1, 1], atol=1e-6)


def test_the_vocabulary_comes_from_the_first_2000_titles_only():
    titles = [f"word{row}" for row in range(2001)]
    words = seed_notebook.vectorizer(titles).get_vocabulary()
    assert "word1999" in words
    assert "word2000" not in words


def test_batches_have_16_rows_and_those_of_the_lstm_8():
    sizes = {name: seed_notebook.batch_size(name) for name in ("simple_rnn_titles", "simple_rnn", "stacked_bilstm")}
    assert set(sizes.values()) == {16}
    assert seed_notebook.batch_size("lstm") == 8


def test_batches_keep_the_order_of_the_rows():
    texts, labels = [f"text {row}" for row in range(20)], np.arange(20)
    batches = [(x.numpy(), y.numpy()) for x, y in seed_notebook.batches(texts, labels, 16)]
    assert [x.shape for x, _ in batches] == [(16, 1), (4, 1)]
    assert [text.decode() for x, _ in batches for text in x.ravel()] == texts
    assert [label for _, y in batches for label in y] == labels.tolist()
