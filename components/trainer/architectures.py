"""The recurrent networks of the seed notebook as Keras models from token ids [batch, time] to logits."""

import keras
import tensorflow as tf
from keras import layers, ops

from components.trainer.adversarial import ConsistencyModel
from components.trainer.shapes import Architecture
from components.trainer.wide import WideLogits, take_rows
from schema.model_contract import OOV_ID, PADDING_ID


@keras.saving.register_keras_serializable("agnews")
class TokenDropout(layers.Layer):
    """Replaces a share of the tokens by the out-of-vocabulary id during training (word dropout, Iyyer et al. 2015).

    Padding stays padding, so the mask does not change.

    Args:
        rate: share of the tokens.
        seed: seed of the draws.

    Call arguments:
        token_ids: integer tensor [batch, time].
        training: whether to replace tokens; otherwise the ids are returned unchanged.
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
class WordVectors(layers.Embedding):
    """Keras' embedding, which reads only the rows of its table that it returns."""

    def call(self, inputs):
        return ops.cast(take_rows(self.embeddings, inputs), self.compute_dtype)


@keras.saving.register_keras_serializable("agnews")
class PaddingMask(layers.Layer):
    """Maps integer token ids [batch, time] to a bool mask [batch, time] that is False for padding."""

    def call(self, token_ids):
        return ops.not_equal(token_ids, PADDING_ID)


@keras.saving.register_keras_serializable("agnews")
class MaskedPooling(layers.Layer):
    """Concatenates maximum and mean over the unmasked steps: [batch, time, features] to [batch, 2 * features]."""

    supports_masking = True

    def call(self, states, mask=None):
        if mask is None:
            return ops.concatenate([ops.max(states, axis=1), ops.mean(states, axis=1)], axis=-1)
        present = ops.cast(mask, states.dtype)[:, :, None]
        # 1e4 also fits into float16.
        maximum = ops.max(states + (present - 1) * 1e4, axis=1)
        mean = ops.sum(states * present, axis=1) / ops.sum(present, axis=1)
        return ops.concatenate([maximum, mean], axis=-1)

    def compute_mask(self, states, previous_mask):
        return None

    def compute_output_shape(self, states_shape, mask_shape=None):
        return (states_shape[0], 2 * states_shape[-1])


@keras.saving.register_keras_serializable("agnews")
class FusedLSTM(layers.LSTM):
    """A `keras.layers.LSTM` with the same weights and outputs whose loop over time is TensorFlow's BlockLSTM operation.

    Without cuDNN, Keras runs a loop of about twenty small operations per step. As with cuDNN, masks must be
    right-padded: the recurrence also runs over the padding, where its outputs are meaningless and masked, and backwards
    it starts at each text's last token. Activations, biases and dropouts must be the defaults. Source of the operation:
    tensorflow/core/kernels/rnn/lstm_ops.cc. BlockLSTMV2, which has Keras' order of gates, has a wrong gradient:
    tensorflow/python/ops/rnn_grad.py registers that of the first version, which has another order.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        on_gpu = self.use_cudnn and tf.config.list_physical_devices("GPU")
        if on_gpu or self.compute_dtype not in ("float32", "float16"):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        by_time = tf.transpose(sequences, [1, 0, 2])
        steps, batch = tf.unstack(tf.shape(by_time)[:2])
        counts = tf.fill([batch], steps) if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        if self.go_backwards:
            by_time = _reverse_texts(by_time, counts)
        states, cells = self._run(by_time, steps, *initial_state)
        ends = tf.stack([counts - 1, tf.range(batch)], axis=1)
        last, last_cell = tf.gather_nd(states, ends), tf.gather_nd(cells, ends)
        if self.go_backwards:
            # Keras returns the states in the order of the steps, in which the padding comes first.
            states = tf.reverse(_reverse_texts(states, counts), axis=[0])
        return last, tf.transpose(states, [1, 0, 2]), [last, last_cell]

    def _run(self, by_time, steps, hidden, cell):
        kernel, recurrent_kernel, bias = (
            _reorder_gates(tf.cast(weight, by_time.dtype))
            for weight in (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        )
        unused = tf.zeros([self.units], by_time.dtype)
        run = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.cast(steps, tf.int64),
            x=by_time,
            cs_prev=cell,
            h_prev=hidden,
            w=tf.concat([kernel, recurrent_kernel], axis=0),
            wci=unused,
            wcf=unused,
            wco=unused,
            b=bias,
            forget_bias=0.0,
            cell_clip=0.0,
            use_peephole=False,
        )
        return run.h, run.cs


def _reverse_texts(by_time, counts):
    """Reverses the steps of each text and leaves its padding in place."""
    return tf.reverse_sequence(by_time, counts, seq_axis=0, batch_axis=1)


def _reorder_gates(weight):
    """Reorders gates from Keras' input, forget, cell, output to the operation's input, cell, forget, output."""
    input_gate, forget_gate, cell_gate, output_gate = tf.split(weight, 4, axis=-1)
    return tf.concat([input_gate, cell_gate, forget_gate, output_gate], axis=-1)


def build_network(
    architecture: Architecture,
    *,
    vocabulary_size: int,
    classes: int,
    seed: int = 0,
    embedding_trainable: bool = True,
    use_cudnn: bool | str = "auto",
) -> ConsistencyModel:
    """Builds a network with the layers `embedding`, `recurrent_1`, `recurrent_2`, … and `logits`.

    Args:
        architecture: shape and dropouts.
        vocabulary_size: number of token ids, including those of padding and of unknown words.
        classes: number of classes.
        seed: seed of the dropouts.
        embedding_trainable: False freezes the word vectors.
        use_cudnn: "auto" uses cuDNN on a GPU; False builds the same layers from portable operations.

    Returns:
        A model from integer token ids [batch, time] to float32 logits [batch, classes]. Rows must be right-padded with
        0 and hold at least one token.
    """
    token_ids = keras.Input([None], dtype="int32", name="token_ids")
    # Passed to each layer explicitly: some Keras versions lose the mask that a tensor carries before the second layer
    # (keras PR 23235).
    mask = PaddingMask(name="mask")(token_ids)
    masked = {"mask": mask} if architecture.masking else {}
    x = TokenDropout(architecture.word_dropout, seed=seed, name="word_dropout")(token_ids)
    x = WordVectors(
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
    # The loss is computed in float32, whatever the precision of the other layers.
    x = layers.Dense(classes, dtype="float32", name="logits")(x)
    if architecture.wide:
        wide = WideLogits(vocabulary_size, classes, name="wide")(token_ids)
        x = layers.Add(dtype="float32", name="deep_and_wide")([x, wide])
    return ConsistencyModel(token_ids, x)


def _recurrent(architecture: Architecture, sequences: bool, use_cudnn: bool | str, name: str) -> layers.Layer:
    wrapped = {} if architecture.bidirectional else {"name": name}
    if architecture.cell == "lstm":
        layer = FusedLSTM(architecture.units, return_sequences=sequences, use_cudnn=use_cudnn, **wrapped)
    else:
        layer = layers.SimpleRNN(architecture.units, return_sequences=sequences, **wrapped)
    return layers.Bidirectional(layer, name=name) if architecture.bidirectional else layer
