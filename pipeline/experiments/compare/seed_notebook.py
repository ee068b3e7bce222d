"""Trains as the seed notebook does: on texts, for one epoch of Keras' fit on small padded batches.

Source: AI-For-Beginners, lessons/5-NLP/16-RNN/RNNTF.ipynb. Its vocabulary comes from only 2,000 titles.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

_VOCABULARY = 20_000
_ADAPTED_ON = 2_000


def vectorizer(titles: list[str]) -> layers.TextVectorization:
    """Returns the notebook's layer from text to ids, adapted as in the notebook."""
    layer = layers.TextVectorization(max_tokens=_VOCABULARY)
    layer.adapt(tf.constant(titles[:_ADAPTED_ON]))
    return layer


def network(name: str, text_to_ids: layers.TextVectorization) -> keras.Model:
    """Returns a network of the notebook by this project's name. It maps texts, string [batch, 1], to probabilities."""
    masked = name in ("simple_rnn", "stacked_bilstm")
    width = 128 if name == "stacked_bilstm" else 64
    recurrent = {
        "simple_rnn_titles": [layers.SimpleRNN(16)],
        "simple_rnn": [layers.SimpleRNN(16)],
        "lstm": [layers.LSTM(8)],
        "stacked_bilstm": [
            layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(64)),
        ],
    }[name]
    embedding = layers.Embedding(_VOCABULARY, width, mask_zero=masked)
    text = keras.Input([1], dtype="string")
    x = text_to_ids(text)
    for layer in (embedding, *recurrent, layers.Dense(4, activation="softmax")):
        x = layer(x)
    model = keras.Model(text, x)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def batch_size(name: str) -> int:
    """Returns the rows of a training batch, which is smaller for the notebook's LSTM."""
    return 8 if name == "lstm" else 16


def batches(texts: list[str], labels: np.ndarray, size: int) -> tf.data.Dataset:
    """Returns batches in the order of the rows. The network pads each batch to its longest text.

    Args:
        texts: the texts.
        labels: int64 [rows].
        size: rows per batch.

    Returns:
        Dataset of (string [batch, 1], int64 [batch]).
    """
    return tf.data.Dataset.from_tensor_slices((tf.constant(texts)[:, tf.newaxis], labels)).batch(size)
