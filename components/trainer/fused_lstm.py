"""Keras' LSTM whose steps are one operation on a CPU, too."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("agnews")
class FusedLSTM(layers.LSTM):
    """`keras.layers.LSTM`, with its weights and answers, that leaves the loop over time to TensorFlow's BlockLSTM.

    Keras runs a loop of some twenty small operations a step where there is no cuDNN. Masks must be right-padded, as
    cuDNN's: the recurrence runs over the padding and what it gives there is garbage that a masked reader never sees;
    backwards it begins at each text's own last token. Activations, biases and dropouts must be the defaults. Source of
    the operation: tensorflow/core/kernels/rnn/lstm_ops.cc. BlockLSTMV2, whose gates stand as Keras' do, has a wrong
    gradient: tensorflow/python/ops/rnn_grad.py registers the first version's, which takes them in another order.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        on_gpu = self.use_cudnn and tf.config.list_physical_devices("GPU")
        if on_gpu or self.compute_dtype not in ("float32", "float16"):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        by_time = tf.transpose(sequences, [1, 0, 2])
        steps, batch = tf.unstack(tf.shape(by_time)[:2])
        counts = tf.fill([batch], steps) if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        if self.go_backwards:
            by_time = _reversed(by_time, counts)
        states, cells = self._run(by_time, steps, *initial_state)
        ends = tf.stack([counts - 1, tf.range(batch)], axis=1)
        last, last_cell = tf.gather_nd(states, ends), tf.gather_nd(cells, ends)
        if self.go_backwards:
            # Keras' order is that of the steps: the padding comes first.
            states = tf.reverse(_reversed(states, counts), axis=[0])
        return last, tf.transpose(states, [1, 0, 2]), [last, last_cell]

    def _run(self, by_time, steps, hidden, cell):
        kernel, recurrent_kernel, bias = (
            _gates_in_order(tf.cast(weight, by_time.dtype))
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


def _reversed(by_time, counts):
    """Each text's steps in reverse; its padding stays where it is."""
    return tf.reverse_sequence(by_time, counts, seq_axis=0, batch_axis=1)


def _gates_in_order(weight):
    """From Keras' order, input, forget, cell, output, to the operation's."""
    of_input, of_forget, of_cell, of_output = tf.split(weight, 4, axis=-1)
    return tf.concat([of_input, of_cell, of_forget, of_output], axis=-1)
