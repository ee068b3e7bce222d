"""The wide part of a network: a linear model of words and pairs of words that is trained together with it."""

import keras
import tensorflow as tf
from keras import layers, ops

from schema.model_contract import PADDING_ID

PAIR_ROWS = 2**19
"""Number of rows in the table of pairs."""
# With a prime, the rows of the pairs of one word are as many as the other words.
_PRIME, _FACTOR = 2**19 - 1, 217_645


def pair_rows(first, second):
    """Returns the rows of pairs of token ids in the table of pairs, int64 of the shape of both."""
    return (first * _FACTOR + second) % _PRIME


def take_rows(table, ids):
    """Returns the rows of a variable with these ids.

    `keras.ops.take` reads the whole variable first. A table with sparse updates is copied by that: in each step of the
    default network 35 MB, 3 % of the step's processor time.
    """
    return tf.gather(table.value, ids)


@keras.saving.register_keras_serializable("agnews")
class WideLogits(layers.Layer):
    """A linear model of words and of pairs of neighbouring words (wide and deep learning, Cheng et al. 2016).

    Each word has a weight per class, and so has each pair, whose row in a table is a hash of its two ids. The sum of a
    text's weights is divided by the square root of their number, which keeps long texts comparable with short ones.

    Args:
        vocabulary_size: number of token ids.
        classes: number of classes.
        scale: factor on the sum; the larger, the faster the weights are learned.

    Call arguments:
        token_ids: integer tensor [batch, time], right-padded with 0.

    Returns:
        float32 [batch, classes].
    """

    def __init__(self, vocabulary_size: int, classes: int, scale: float = 4.0, **kwargs):
        super().__init__(**{"dtype": "float32"} | kwargs)
        self.vocabulary_size = vocabulary_size
        self.classes = classes
        self.scale = scale

    def build(self, input_shape):
        self.words, self.pairs = (
            self.add_weight(name=name, shape=(rows, self.classes), initializer="zeros")
            for name, rows in (("words", self.vocabulary_size), ("pairs", PAIR_ROWS))
        )

    def call(self, token_ids):
        ids = ops.cast(token_ids, "int64")
        pairs = pair_rows(ids[:, :-1], ids[:, 1:])
        weights = ops.concatenate([take_rows(self.words, ids), take_rows(self.pairs, pairs)], axis=1)
        is_word = ops.not_equal(ids, PADDING_ID)
        present = ops.cast(ops.concatenate([is_word, is_word[:, 1:]], axis=1), weights.dtype)
        count = ops.sum(present, axis=1, keepdims=True)
        return self.scale * ops.sum(weights * present[:, :, None], axis=1) / ops.sqrt(count)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)

    def get_config(self):
        own = {"vocabulary_size": self.vocabulary_size, "classes": self.classes, "scale": self.scale}
        return {**super().get_config(), **own}
