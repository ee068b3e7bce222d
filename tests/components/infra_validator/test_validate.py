import os
import shutil

import keras
import pytest
import tensorflow as tf

from components.infra_validator.validate import Limits, Refused, validate
from components.trainer.export import text_example

LIMITS = Limits(timeout_seconds=120, max_memory_mb=4096, tolerance=1e-4)
EXAMPLES = [text_example(f"title {index}", "ba1 goal").SerializeToString() for index in range(10)]


def test_a_good_export_is_served_and_gives_the_same_answers(export):
    validate(export, EXAMPLES, LIMITS)


def test_an_export_that_does_not_load_is_refused_with_the_reason(export, tmp_path):
    broken = shutil.copytree(export, tmp_path / "broken")
    os.truncate(broken / "saved_model.pb", 1000)
    with pytest.raises(Refused, match="ended while it loaded the export"):
        validate(str(broken), EXAMPLES, LIMITS)


class Unrestorable(tf.Module):
    """A Keras 3 model attached to a module: TensorFlow 2 loads it, a session finds its variables empty."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential([keras.Input([4]), keras.layers.Dense(4, activation="softmax")])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def examples(self, inputs):
        return {"scores": self.network(tf.ones([tf.size(inputs), 4]))}


def test_an_export_that_a_session_cannot_serve_is_refused(tmp_path):
    model = Unrestorable()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serve_examples": model.examples})
    with pytest.raises(Refused, match=r"serve_examples failed .*variable"):
        validate(str(tmp_path / "model"), EXAMPLES, LIMITS)


def test_too_little_time_is_a_refusal(export):
    with pytest.raises(Refused, match="time limit"):
        validate(export, EXAMPLES, Limits(timeout_seconds=0.5, max_memory_mb=4096, tolerance=1e-4))


def test_too_much_memory_is_a_refusal(export):
    with pytest.raises(Refused, match="more than 100 MiB"):
        validate(export, EXAMPLES, Limits(timeout_seconds=120, max_memory_mb=100, tolerance=1e-4))


class Moody(tf.Module):
    """Answers otherwise each time it is asked, or not at all to a long text."""

    def __init__(self, refuses_long_text=False):
        super().__init__()
        self.refuses = refuses_long_text

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "title"), tf.TensorSpec([None], tf.string, "description")]
    )
    def text(self, title, description):
        if self.refuses:
            with tf.control_dependencies([tf.debugging.assert_less(tf.strings.length(title), 1000, "too long")]):
                return {"probabilities": tf.ones([tf.size(title), 4]) / 4}
        return {"probabilities": tf.fill([tf.size(title), 4], tf.cast(tf.timestamp() % 1, tf.float32))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def examples(self, inputs):
        return {"scores": tf.ones([tf.size(inputs), 4]) / 4}


@pytest.mark.parametrize(
    ("refuses", "reason"), [(False, "probabilities differs by"), (True, r"of \d+ bytes: INVALID_ARGUMENT")]
)
def test_other_answers_and_no_answers_are_refused(tmp_path, refuses, reason):
    moody = Moody(refuses)
    signatures = {"serving_default": moody.text, "serve_examples": moody.examples}
    tf.saved_model.save(moody, str(tmp_path / "moody"), signatures=signatures)
    with pytest.raises(Refused, match=reason):
        validate(str(tmp_path / "moody"), EXAMPLES, LIMITS)
