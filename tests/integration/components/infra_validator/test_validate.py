import os
import shutil
import signal
import tempfile
import threading
import time

import keras
import psutil
import pytest
import tensorflow as tf

from components.infra_validator.validate import Limits, Refused, validate
from components.trainer.export import text_example
from schema.errors import NotMeasuredError

LIMITS = Limits(timeout_seconds=120, max_memory_mb=4096, tolerance=1e-4)
EXAMPLES = [text_example(f"title {index}", "ba1 goal").SerializeToString() for index in range(10)]


def test_a_good_export_is_served_and_gives_the_same_answers(export):
    validate(export, EXAMPLES, LIMITS)


def test_an_export_that_does_not_load_is_refused_with_the_reason(export, tmp_path):
    broken = shutil.copytree(export, tmp_path / "broken")
    os.truncate(broken / "saved_model.pb", 1000)
    with pytest.raises(Refused, match=r"does not load: .*saved_model"):
        validate(str(broken), EXAMPLES, LIMITS)


class Unrestorable(tf.Module):
    """A Keras 3 model attached to a module: TensorFlow 2 loads it, but a session finds its variables empty."""

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


def test_too_little_time_is_no_refusal(export):
    with pytest.raises(NotMeasuredError, match=r"within 0\.5 s.*infra_validator\.timeout_seconds"):
        validate(export, EXAMPLES, Limits(timeout_seconds=0.5, max_memory_mb=4096, tolerance=1e-4))


def test_too_much_memory_is_a_refusal(export):
    with pytest.raises(Refused, match="more than 100 MiB"):
        validate(export, EXAMPLES, Limits(timeout_seconds=120, max_memory_mb=100, tolerance=1e-4))


class Moody(tf.Module):
    """Gives a different answer on each request, or refuses long texts."""

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


def test_a_proxy_for_the_internet_refuses_no_model(dead_proxy, export):
    validate(export, EXAMPLES, LIMITS)


@pytest.mark.parametrize("moment", ["loads", "answers"])
def test_a_serving_process_that_is_killed_is_no_refusal(export, moment):
    killed = threading.Event()

    def kill():
        while not killed.is_set():
            for child in psutil.Process().children():
                # The server listens once the model is loaded.
                if "serving.server" in child.cmdline() and (moment == "loads" or child.net_connections()):
                    child.send_signal(signal.SIGKILL)
                    killed.set()
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(NotMeasuredError, match=r"SIGKILL.*neither blessed nor refused"):
            validate(export, EXAMPLES, LIMITS)
    finally:
        killed.set()
        thread.join()


def test_a_server_that_does_not_start_is_no_refusal(export, tmp_path, monkeypatch):
    (tmp_path / "prometheus_client.py").write_text("raise OSError('no space left on device')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(NotMeasuredError, match="no space left on device"):
        validate(export, EXAMPLES, LIMITS)


def test_a_process_that_cannot_be_started_is_no_refusal(export, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(NotMeasuredError, match="No such file or directory"):
        validate(export, EXAMPLES, LIMITS)


def test_an_export_that_is_gone_is_no_refusal(tmp_path):
    with pytest.raises(NotMeasuredError, match=r"gone.*is not there"):
        validate(str(tmp_path / "gone"), EXAMPLES, LIMITS)


class Greedy(tf.Module):
    """Allocates 128 TiB, which no machine has."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def examples(self, inputs):
        rows = tf.size(inputs, tf.int64) * 0 + 2**45
        return {"scores": tf.reduce_max(tf.random.uniform([rows]))}


def test_a_lack_of_memory_is_no_refusal(tmp_path):
    greedy = Greedy()
    tf.saved_model.save(greedy, str(tmp_path / "greedy"), signatures={"serve_examples": greedy.examples})
    with pytest.raises(NotMeasuredError, match="RESOURCE_EXHAUSTED"):
        validate(str(tmp_path / "greedy"), EXAMPLES, LIMITS)
