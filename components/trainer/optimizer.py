"""The optimizer: AdamW that updates only those word vectors that a batch contains, and its schedule."""

import math
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from components.trainer.adversarial import ConsistencyModel
from components.trainer.shapes import architecture_of

if TYPE_CHECKING:
    from components.trainer.settings import Recipe

_WARMUP_SHARE = 0.05


@keras.saving.register_keras_serializable("agnews")
class RowwiseAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019) with sparse updates of embeddings, like TensorFlow Addons' LazyAdam.

    Keras' AdamW makes the gradient of an embedding dense, and reads and writes the whole table of fifty thousand rows
    and both of its moments in each step, although a batch has about a thousand rows. Here, rows that are not in the
    batch keep their vectors and moments. Gradients are clipped by their global norm.

    Args:
        learning_rate: a number or a Keras schedule.
        weight_decay: decoupled decay, multiplied by the learning rate. It is dense, so exclude word vectors with
            `exclude_from_weight_decay`.
        clip_global_norm: global norm above which the gradients are scaled down.
        row_rate: factor on the learning rate for sparse updates. Dense Adam keeps moving a row for some steps after
            its batch; a row that moves only once needs a larger step.
    """

    def __init__(self, learning_rate=1e-3, weight_decay=0.0, clip_global_norm=1.0, row_rate=1.0, **kwargs):
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        self.clip_global_norm = clip_global_norm
        self.row_rate = row_rate

    def apply(self, grads, trainable_variables=None):
        # Sums the gradients of a word that occurs several times in a batch.
        grads = [_sum_by_row(gradient) for gradient in grads]
        grads, _ = tf.clip_by_global_norm(grads, self.clip_global_norm)
        return super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        if self._distribution_strategy.num_replicas_in_sync > 1:  # The replicas' rows are concatenated.
            gradient = _sum_by_row(gradient)
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        rows, values = gradient.indices, gradient.values
        step = tf.cast(self.iterations + 1, values.dtype)
        rate = (
            self.row_rate
            * tf.cast(learning_rate, values.dtype)
            * tf.sqrt(1 - self.beta_2**step)
            / (1 - self.beta_1**step)
        )
        mean = self.beta_1 * tf.gather(momentum, rows) + (1 - self.beta_1) * values
        square = self.beta_2 * tf.gather(velocity, rows) + (1 - self.beta_2) * tf.square(values)
        momentum.scatter_update(tf.IndexedSlices(mean, rows))
        velocity.scatter_update(tf.IndexedSlices(square, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * mean / (tf.sqrt(square) + self.epsilon), rows))

    def get_config(self):
        return {**super().get_config(), "clip_global_norm": self.clip_global_norm, "row_rate": self.row_rate}


def compile_model(model: ConsistencyModel, recipe: "Recipe", *, steps: int) -> None:
    """Compiles a model with cross-entropy loss, accuracy, and AdamW with linear warm-up and cosine decay to zero.

    Args:
        model: model that returns logits [batch, classes] and has a layer `embedding`.
        recipe: learning rates, weight decay and consistency training.
        steps: total number of training steps, which the schedule spans.
    """
    warmup = max(1, math.ceil(_WARMUP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    optimizer = RowwiseAdamW(schedule, weight_decay=recipe.weight_decay, row_rate=recipe.word_vectors_rate)
    tables = [variable for layer in model.layers if layer.name in ("embedding", "wide") for variable in layer.variables]
    optimizer.exclude_from_weight_decay(var_list=tables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    architecture = architecture_of(vars(recipe))
    model.perturbation, model.consistency = architecture.perturbation, architecture.consistency
    # XLA cannot compile cuDNN's recurrent layers.
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


def _sum_by_row(gradient):
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
