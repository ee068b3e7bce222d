"""A network that also learns from its own worst case: word vectors moved a little to where the loss is highest."""

import keras
import tensorflow as tf

from components.transform import PADDING_ID


class AdversarialNetwork(keras.Model):
    """A chain of layers `word_dropout`, `embedding`, … trained on each text and on its adversarial twin.

    The twin's word vectors are those of the text plus r = perturbation * |vectors| * g / |g|, where g is the gradient
    of the text's loss; norms are over all the vectors of a text. The loss is the mean of both (Miyato, Dai and
    Goodfellow 2017, arXiv 1605.07725, equation 3; their fixed norm is here a share of the text's own, which needs no
    normalised vectors). The pass that gives g gives half of the step's gradient as well: two passes a step, not three.

    Attributes:
        perturbation: the share; 0 trains on the text alone.
    """

    perturbation = 0.0

    def train_step(self, data):
        if not self.perturbation:
            return super().train_step(data)
        token_ids, labels = data
        embedding = self.get_layer("embedding")
        table = embedding.embeddings
        weights = [weight for weight in self.trainable_weights if weight is not table]
        # In Keras' graph of layers, what stands behind the word vectors.
        masks = [layer.output for layer in self.layers if layer.name == "mask"]
        rest = keras.Model([embedding.output, *masks], self.output)
        present = tf.not_equal(token_ids, PADDING_ID)
        dropped = self.get_layer("word_dropout")(token_ids, training=True)

        def loss_and_gradients(vectors):
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                logits = rest([vectors, present][: 1 + len(masks)], training=True)
                loss = self.compute_loss(y=labels, y_pred=logits)
                scaled = self.optimizer.scale_loss(loss)
            return loss, logits, tape.gradient(scaled, [vectors, *weights])

        vectors = embedding(dropped)
        loss, logits, gradients = loss_and_gradients(vectors)
        move = self._perturbation(vectors, gradients[0], present)
        loss_of_twin, _, gradients_of_twin = loss_and_gradients(vectors + move)
        of_vectors, *of_weights = ((one + other) / 2 for one, other in zip(gradients, gradients_of_twin, strict=True))
        updates = dict(zip(map(id, weights), of_weights, strict=True))
        updates[id(table)] = _of_table(of_vectors, dropped, table)
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


def _norm(texts):
    return tf.norm(texts, axis=[1, 2], keepdims=True)


def _of_table(of_vectors, token_ids, table):
    rows = tf.reshape(of_vectors, [-1, table.shape[1]])
    return tf.IndexedSlices(tf.cast(rows, table.dtype), tf.reshape(token_ids, [-1]), tf.constant(tuple(table.shape)))
