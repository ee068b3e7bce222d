"""A network that learns from each text and from a twin of it, which it must judge alike."""

import keras
import tensorflow as tf

from schema.model_contract import PADDING_ID


class TwinNetwork(keras.Model):
    """A chain of layers `word_dropout`, `embedding`, … that is trained on each text and, when told to, on its twin.

    The twin is the text under dropouts of its own, moved to where its loss is higher: its word vectors have
    r = perturbation * |vectors| * g / |g| added, where g is the gradient of the text's loss and norms are over all the
    vectors of a text (Miyato, Dai and Goodfellow 2017, arXiv 1605.07725, equation 3; their fixed norm is here a share
    of the text's own, which needs no normalised vectors). To the twin's loss comes consistency * KL(text || twin), the
    divergence of the two predictions, that of the text held fixed (Liang et al. 2021, arXiv 2106.14448, in one
    direction). The step follows the mean of both losses. The pass that gives g gives half of the step's gradient as
    well: two passes a step, not three.

    Attributes:
        twins: whether steps have twins; a change takes effect with the next train function.
        perturbation: the share; 0 moves nothing.
        consistency: weight of the divergence.
    """

    twins = False
    perturbation = 0.0
    consistency = 0.0

    def train_step(self, data):
        if not self.twins:
            return super().train_step(data)
        token_ids, labels = data
        embedding = self.get_layer("embedding")
        table = embedding.embeddings
        weights = [weight for weight in self.trainable_weights if weight is not table]
        # In Keras' graph of layers, what stands behind the word vectors.
        masks = [layer.output for layer in self.layers if layer.name == "mask"]
        rest = keras.Model([embedding.output, *masks], self.output)
        present = tf.not_equal(token_ids, PADDING_ID)

        def loss_and_gradients(vectors, judged=None):
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                logits = rest([vectors, present][: 1 + len(masks)], training=True)
                loss = self.compute_loss(y=labels, y_pred=logits)
                if judged is not None:
                    loss += self.consistency * self._divergence(judged, logits)
                scaled = self.optimizer.scale_loss(loss)
            return loss, logits, tape.gradient(scaled, [vectors, *weights])

        dropped, dropped_of_twin = (self.get_layer("word_dropout")(token_ids, training=True) for _ in range(2))
        vectors = embedding(dropped)
        loss, logits, gradients = loss_and_gradients(vectors)
        twin = embedding(dropped_of_twin) + self._perturbation(vectors, gradients[0], present)
        loss_of_twin, _, gradients_of_twin = loss_and_gradients(twin, logits)
        of_weights = ((one + other) / 2 for one, other in zip(gradients[1:], gradients_of_twin[1:], strict=True))
        updates = dict(zip(map(id, weights), of_weights, strict=True))
        of_vectors = tf.concat([gradients[0], gradients_of_twin[0]], axis=0) / 2
        updates[id(table)] = _of_table(of_vectors, tf.concat([dropped, dropped_of_twin], axis=0), table)
        # In this order, by which an optimizer's saved state is found again.
        self.optimizer.apply_gradients([(updates[id(weight)], weight) for weight in self.trainable_weights])
        # Each replica's loss is its share of the batch's.
        mean_loss = (loss + loss_of_twin) / 2 * self.distribute_strategy.num_replicas_in_sync
        self._loss_tracker.update_state(mean_loss, sample_weight=tf.shape(labels)[0])
        return self.compute_metrics(token_ids, labels, logits)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras 3.15 takes the mean of the replicas' first batches here, which fails where their sizes differ. There is
        # nothing to build: the layers are, and the metrics are by an earlier batch.
        if iterator is None:
            super()._maybe_symbolic_build(data_batch=data_batch)

    def _perturbation(self, vectors, gradient, present):
        present = tf.cast(present, vectors.dtype)[:, :, tf.newaxis]
        vectors, gradient = vectors * present, gradient * present
        # A gradient that vanishes, or that a narrow format rounds to nothing, has no direction.
        return self.perturbation * _norm(vectors) * tf.math.divide_no_nan(gradient, _norm(gradient))

    def _divergence(self, judged, logits):
        """Kullback-Leibler divergence of two predictions [batch, classes], mean over the batch; a replica's share."""
        judged, logits = tf.nn.log_softmax(tf.stop_gradient(judged)), tf.nn.log_softmax(logits)
        of_rows = tf.reduce_sum(tf.exp(judged) * (judged - logits), axis=-1)
        return tf.reduce_mean(of_rows) / self.distribute_strategy.num_replicas_in_sync


def _norm(texts):
    return tf.norm(texts, axis=[1, 2], keepdims=True)


def _of_table(of_vectors, token_ids, table):
    rows = tf.reshape(of_vectors, [-1, table.shape[1]])
    return tf.IndexedSlices(tf.cast(rows, table.dtype), tf.reshape(token_ids, [-1]), tf.constant(tuple(table.shape)))
