"""The recurrent networks, as functions from sizes to a Keras model: token ids [batch, time] to probabilities."""

import keras
from keras import layers, ops

from components.transform import OOV_ID, PADDING_ID


@keras.saving.register_keras_serializable("agnews")
class TokenDropout(layers.Layer):
    """Replaces a share of the tokens by the out-of-vocabulary id while training (Iyyer et al. 2015, word dropout).

    Call arguments: integer ids [batch, time]; padding stays padding, so the mask does not change.
    """

    def __init__(self, rate: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, token_ids, training=False):
        if not training or self.rate == 0:
            return token_ids
        dropped = keras.random.uniform(ops.shape(token_ids), seed=self.generator) < self.rate
        return ops.where(ops.logical_and(dropped, token_ids != PADDING_ID), OOV_ID, token_ids)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("agnews")
class MaskedPooling(layers.Layer):
    """Maximum and mean over time of the unmasked steps: [batch, time, features] to [batch, 2 * features]."""

    supports_masking = True

    def call(self, states, mask=None):
        if mask is None:
            raise ValueError("MaskedPooling needs a mask: put an Embedding(mask_zero=True) before it")
        present = ops.cast(mask, states.dtype)[:, :, None]
        maximum = ops.max(states + (present - 1) * 1e9, axis=1)
        mean = ops.sum(states * present, axis=1) / ops.sum(present, axis=1)
        return ops.concatenate([maximum, mean], axis=-1)

    def compute_mask(self, inputs, previous_mask):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2 * input_shape[-1])


def stacked_bilstm(
    *,
    vocabulary_size: int,
    classes: int,
    embedding_dim: int,
    lstm_units: int,
    dropout: float,
    word_dropout: float,
    seed: int,
    use_cudnn: bool | str = "auto",
) -> keras.Model:
    """The masked, stacked bidirectional LSTM of the seed notebook, pooled over time instead of its last state.

    Args:
        vocabulary_size: number of ids, padding and out of vocabulary included.
        classes: number of classes.
        embedding_dim: width of the word vectors.
        lstm_units: hidden units of each direction of each of the two layers.
        dropout: share of word-vector channels (whole channels of a text) and of pooled features dropped.
        word_dropout: share of tokens replaced by the out-of-vocabulary id.
        seed: seed of the dropouts.
        use_cudnn: "auto" uses cuDNN where there is a GPU; False builds the same layers from portable operations.

    Returns:
        A model from integer token ids [batch, time], right-padded with 0 and no row all padding, to float32
        probabilities [batch, classes].
    """

    def bilstm(name: str) -> layers.Layer:
        return layers.Bidirectional(layers.LSTM(lstm_units, return_sequences=True, use_cudnn=use_cudnn), name=name)

    token_ids = keras.Input([None], dtype="int64", name="token_ids")
    x = TokenDropout(word_dropout, seed=seed, name="word_dropout")(token_ids)
    x = layers.Embedding(vocabulary_size, embedding_dim, mask_zero=True, name="embedding")(x)
    x = layers.SpatialDropout1D(dropout, seed=seed + 1, name="channel_dropout")(x)
    x = bilstm("bilstm_1")(x)
    x = bilstm("bilstm_2")(x)
    x = MaskedPooling(name="pooling")(x)
    x = layers.Dropout(dropout, seed=seed + 2, name="feature_dropout")(x)
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(token_ids, probabilities, name="stacked_bilstm")
