"""Trains on each text and on a perturbed copy of it, for which the network must predict the same."""

import keras
import tensorflow as tf

from schema.model_contract import PADDING_ID


class ConsistencyModel(keras.Model):
    """A functional model with the layers `word_dropout`, `embedding`, …, that can train on perturbed copies.

    The copy of a text has dropouts of its own and word vectors that are moved to where the text's loss is higher, by
    r = perturbation * |vectors| * g / |g|, where g is the gradient of the text's loss and the norms are over all
    vectors of a text (Miyato, Dai and Goodfellow 2017, arXiv 1605.07725, equation 3; their fixed norm is here a share
    of the text's own norm, which needs no normalised vectors). The copy's loss includes consistency * KL(text || copy),
    the divergence of the two predictions, with the text's prediction held constant (Liang et al. 2021, arXiv
    2106.14448, in one direction). A step minimises the mean of the text's and the copy's loss. The pass that computes g
    also gives half of the step's gradient, so a step takes two passes, not three.

    Attributes:
        use_copies: whether steps train on copies; a change takes effect with the next train function.
        perturbation: size of the perturbation as a share of the norm; 0 moves nothing.
        consistency: weight of the divergence.
    """

    use_copies = False
    perturbation = 0.0
    consistency = 0.0

    def train_step(self, data):
        if not self.use_copies:
            return super().train_step(data)
        token_ids, labels = data
        embedding = self.get_layer("embedding")
        table = embedding.embeddings
        # Layers that read token ids instead of word vectors, and that no dropout and no perturbation changes.
        of_ids = [layer for layer in self.layers if layer.name in ("mask", "wide")]
        wide_weights = [weight for layer in of_ids for weight in layer.trainable_weights]
        elsewhere = {id(weight) for weight in (table, *wide_weights)}
        weights = [weight for weight in self.trainable_weights if id(weight) not in elsewhere]
        # The part of the functional model that follows the word vectors.
        rest = keras.Model([embedding.output, *(layer.output for layer in of_ids)], self.output)
        present = tf.not_equal(token_ids, PADDING_ID)
        with tf.GradientTape() as wide_tape:
            from_ids = [layer(token_ids) for layer in of_ids]
        wide = [output for output in from_ids if output.dtype.is_floating]

        def loss_and_gradients(vectors, text_logits=None):
            with tf.GradientTape() as tape:
                for tensor in (vectors, *wide):
                    tape.watch(tensor)
                logits = rest([vectors, *from_ids], training=True)
                loss = self.compute_loss(y=labels, y_pred=logits)
                if text_logits is not None:
                    loss += self.consistency * self._divergence(text_logits, logits)
                scaled = self.optimizer.scale_loss(loss)
            return loss, logits, tape.gradient(scaled, [vectors, *wide, *weights])

        text_ids, copy_ids = (self.get_layer("word_dropout")(token_ids, training=True) for _ in range(2))
        vectors = embedding(text_ids)
        loss, logits, gradients = loss_and_gradients(vectors)
        copy = embedding(copy_ids) + self._perturbation(vectors, gradients[0], present)
        copy_loss, _, copy_gradients = loss_and_gradients(copy, logits)
        means = [(first + second) / 2 for first, second in zip(gradients[1:], copy_gradients[1:], strict=True)]
        updates = dict(zip(map(id, weights), means[len(wide) :], strict=True))
        wide_gradients = wide_tape.gradient(wide, wide_weights, output_gradients=means[: len(wide)])
        updates |= dict(zip(map(id, wide_weights), wide_gradients, strict=True))
        vector_gradients = tf.concat([gradients[0], copy_gradients[0]], axis=0) / 2
        updates[id(table)] = _table_gradient(vector_gradients, tf.concat([text_ids, copy_ids], axis=0), table)
        # Keras restores an optimizer's saved state by this order.
        self.optimizer.apply_gradients([(updates[id(weight)], weight) for weight in self.trainable_weights])
        # Each replica's loss is its share of the batch's loss.
        mean_loss = (loss + copy_loss) / 2 * self.distribute_strategy.num_replicas_in_sync
        self._loss_tracker.update_state(mean_loss, sample_weight=tf.shape(labels)[0])
        return self.compute_metrics(token_ids, labels, logits)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras 3.15 averages the replicas' first batches here, which fails where their sizes differ. The layers are
        # already built, and an earlier batch has built the metrics.
        if iterator is None:
            super()._maybe_symbolic_build(data_batch=data_batch)

    def _perturbation(self, vectors, gradient, present):
        present = tf.cast(present, vectors.dtype)[:, :, tf.newaxis]
        vectors, gradient = vectors * present, gradient * present
        # A gradient that is zero, or that a narrow number format rounds to zero, has no direction.
        return self.perturbation * _norm(vectors) * tf.math.divide_no_nan(gradient, _norm(gradient))

    def _divergence(self, text_logits, copy_logits):
        """Returns this replica's share of the mean Kullback-Leibler divergence of two predictions [batch, classes]."""
        text, copy = tf.nn.log_softmax(tf.stop_gradient(text_logits)), tf.nn.log_softmax(copy_logits)
        per_row = tf.reduce_sum(tf.exp(text) * (text - copy), axis=-1)
        return tf.reduce_mean(per_row) / self.distribute_strategy.num_replicas_in_sync


class StartConsistencyAfter(keras.callbacks.Callback):
    """Starts to train on perturbed copies after some epochs: an untrained network gains nothing from consistency.

    Args:
        warmup_epochs: number of epochs before copies are used.
    """

    def __init__(self, warmup_epochs: int):
        super().__init__()
        self._warmup_epochs = warmup_epochs

    def on_epoch_begin(self, epoch, logs=None):
        model = self.model
        use_copies = epoch >= self._warmup_epochs and bool(model.perturbation or model.consistency)
        if use_copies != model.use_copies:
            model.use_copies = use_copies
            model.make_train_function(force=True)


def _norm(texts):
    return tf.norm(texts, axis=[1, 2], keepdims=True)


def _table_gradient(vector_gradients, token_ids, table):
    rows = tf.reshape(vector_gradients, [-1, table.shape[1]])
    return tf.IndexedSlices(tf.cast(rows, table.dtype), tf.reshape(token_ids, [-1]), tf.constant(tuple(table.shape)))
