"""The recurrent networks of the seed notebook, as Keras models from token ids [batch, time] to logits."""

from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers, ops

from components.trainer.fused_lstm import FusedLSTM
from components.trainer.twin import TwinNetwork
from components.transform.preprocessing import OOV_ID, PADDING_ID


@dataclass(frozen=True)
class Architecture:
    """What sets one network apart from another.

    Attributes:
        embedding_dim: width of the word vectors.
        units: hidden units of each direction of each layer.
        cell: "simple_rnn" or "lstm".
        depth: recurrent layers on top of each other.
        bidirectional: whether each layer also reads backwards.
        pooling: "last" state of the last layer, or "max_mean" of its states over time.
        masking: whether padding is left out of the recurrence.
        titles_only: whether the network reads titles alone.
        word_dropout: share of tokens replaced by the out-of-vocabulary id while training.
        embedding_dropout: share of word-vector channels dropped, whole channels of a text.
        feature_dropout: share of the features before the last layer dropped.
        consistency: weight of the divergence between the predictions for a text and for its twin.
        perturbation: move of the twin's word vectors, as a share of their norm.
    """

    embedding_dim: int
    units: int
    cell: str = "lstm"
    depth: int = 1
    bidirectional: bool = False
    pooling: str = "last"
    masking: bool = True
    titles_only: bool = False
    word_dropout: float = 0.0
    embedding_dropout: float = 0.1
    feature_dropout: float = 0.0
    consistency: float = 0.0
    perturbation: float = 0.0


ARCHITECTURES = {
    # The notebook shows its first network without a mask, for contrast with the second.
    "simple_rnn_titles": Architecture(64, 16, "simple_rnn", masking=False, titles_only=True),
    "simple_rnn": Architecture(64, 16, "simple_rnn"),
    "lstm": Architecture(64, 8),
    # Pooled over time: the last state alone forgets; docs/explanation/training.md has the difference.
    "stacked_bilstm": Architecture(
        *(128, 64),
        depth=2,
        bidirectional=True,
        pooling="max_mean",
        # The small ones above have little to spare.
        word_dropout=0.1,
        embedding_dropout=0.3,
        feature_dropout=0.5,
        consistency=2.0,
        perturbation=0.05,
    ),
}
"""The networks by name, with the seed notebook's sizes (AI-For-Beginners, lessons/5-NLP/16-RNN/RNNTF.ipynb)."""


def architecture(name: str, **changes: Any) -> Architecture:
    """The named architecture with its own sizes and dropouts, but for the `changes` that are not None.

    Raises:
        KeyError: there is no such name.
    """
    return replace(ARCHITECTURES[name], **{key: value for key, value in changes.items() if value is not None})


@keras.saving.register_keras_serializable("agnews")
class TokenDropout(layers.Layer):
    """Replaces a share of the tokens by the out-of-vocabulary id while training (Iyyer et al. 2015, word dropout).

    Call arguments: integer ids [batch, time]; padding stays padding, so the mask does not change.
    """

    def __init__(self, rate: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, token_ids, training=False):
        if not training or self.rate == 0:
            return token_ids
        dropped = keras.random.uniform(ops.shape(token_ids), seed=self.seed_generator) < self.rate
        return ops.where(ops.logical_and(dropped, token_ids != PADDING_ID), OOV_ID, token_ids)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("agnews")
class PaddingMask(layers.Layer):
    """Which tokens are no padding: integer ids [batch, time] to bool [batch, time]."""

    def call(self, token_ids):
        return ops.not_equal(token_ids, PADDING_ID)


@keras.saving.register_keras_serializable("agnews")
class MaskedPooling(layers.Layer):
    """Maximum and mean over time: [batch, time, features] to [batch, 2 * features]. Masked steps do not count."""

    supports_masking = True

    def call(self, states, mask=None):
        if mask is None:
            return ops.concatenate([ops.max(states, axis=1), ops.mean(states, axis=1)], axis=-1)
        present = ops.cast(mask, states.dtype)[:, :, None]
        # A value that float16 has, too.
        maximum = ops.max(states + (present - 1) * 1e4, axis=1)
        mean = ops.sum(states * present, axis=1) / ops.sum(present, axis=1)
        return ops.concatenate([maximum, mean], axis=-1)

    def compute_mask(self, states, previous_mask):
        return None

    def compute_output_shape(self, states_shape, mask_shape=None):
        return (states_shape[0], 2 * states_shape[-1])


def build_network(
    architecture: Architecture,
    *,
    vocabulary_size: int,
    classes: int,
    seed: int = 0,
    embedding_trainable: bool = True,
    use_cudnn: bool | str = "auto",
) -> TwinNetwork:
    """Builds a network; its layers are named `embedding`, `recurrent_1`, `recurrent_2`, … and `logits`.

    Args:
        architecture: its shape and dropouts.
        vocabulary_size: number of ids, padding and out of vocabulary included.
        classes: number of classes.
        seed: seed of the dropouts.
        embedding_trainable: False freezes the word vectors.
        use_cudnn: "auto" uses cuDNN where there is a GPU; False builds the same layers from portable operations.

    Returns:
        A model from integer token ids [batch, time], right-padded with 0 and no row all padding, to float32 logits
        [batch, classes].
    """
    token_ids = keras.Input([None], dtype="int32", name="token_ids")
    # Handed to each layer that reads it: Keras' own, which tensors carry with them, gets lost on the way to a second
    # layer in some versions (keras PR 23235).
    mask = PaddingMask(name="mask")(token_ids)
    masked = {"mask": mask} if architecture.masking else {}
    x = TokenDropout(architecture.word_dropout, seed=seed, name="word_dropout")(token_ids)
    x = layers.Embedding(
        vocabulary_size,
        architecture.embedding_dim,
        trainable=embedding_trainable,
        name="embedding",
    )(x)
    x = layers.SpatialDropout1D(architecture.embedding_dropout, seed=seed + 1, name="embedding_dropout")(x)
    pooled = architecture.pooling == "max_mean"
    for number in range(1, architecture.depth + 1):
        sequences = pooled or number < architecture.depth
        x = _recurrent(architecture, sequences, use_cudnn, name=f"recurrent_{number}")(x, **masked)
    if pooled:
        x = MaskedPooling(name="pooling")(x, **masked)
    x = layers.Dropout(architecture.feature_dropout, seed=seed + 2, name="feature_dropout")(x)
    # Whatever the precision of the rest, the loss is taken in float32.
    return TwinNetwork(token_ids, layers.Dense(classes, dtype="float32", name="logits")(x))


def _recurrent(architecture: Architecture, sequences: bool, use_cudnn: bool | str, name: str) -> layers.Layer:
    wrapped = {} if architecture.bidirectional else {"name": name}
    if architecture.cell == "lstm":
        layer = FusedLSTM(architecture.units, return_sequences=sequences, use_cudnn=use_cudnn, **wrapped)
    else:
        layer = layers.SimpleRNN(architecture.units, return_sequences=sequences, **wrapped)
    return layers.Bidirectional(layer, name=name) if architecture.bidirectional else layer
