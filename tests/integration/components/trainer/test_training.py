import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from components.trainer.batches import Buckets
from components.trainer.training import predict_logits, train
from schema.errors import RunError
from tests.support import ROOT

# One layer and no perturbed copies, which need a second compilation: for tests that do not depend on the network.
SIMPLE = {"architecture": "lstm", "consistency": 0.0, "perturbation": 0.0}
# The copies begin with the second epoch, so that a step is compiled twice.
BOTH_KINDS = {"plain_epochs": 1}


@pytest.fixture(scope="module")
def finished(train_rows, val_rows, words, recipe, tmp_path_factory):
    """One training, which several tests look at: its `result`, log `records`, `checkpoints` and TensorBoard `logs`."""
    root = tmp_path_factory.mktemp("finished")
    checkpoints, logs, records = root / "checkpoints", root / "logs", []
    logger, handler = logging.getLogger("components.trainer"), logging.Handler()
    handler.emit = records.append
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        made = recipe(**BOTH_KINDS)
        result = train(train_rows, val_rows, words, made, checkpoint_root=str(checkpoints), log_dir=str(logs))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return SimpleNamespace(result=result, records=records, checkpoints=checkpoints, logs=logs)


@pytest.fixture
def trained(train_rows, val_rows, words, recipe, tmp_path):
    """Returns a function that trains with a changed recipe."""

    def run(root="checkpoints", **changes):
        return train(train_rows, val_rows, words, recipe(**changes), checkpoint_root=str(tmp_path / root))

    return run


def test_training_learns_what_a_class_is(finished):
    facts = finished.result.facts
    assert facts["history"]["val_accuracy"][facts["best_epoch"] - 1] > 0.9
    assert facts["history"]["loss"][-1] < 0.5 * facts["history"]["loss"][0]


def assert_same_weights(one, other):
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def assert_other_weights(one, other):
    assert any((first != second).any() for first, second in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_same_seed_gives_the_same_weights(trained, finished):
    assert_same_weights(finished.result.network, trained(**BOTH_KINDS).network)
    assert_other_weights(finished.result.network, trained(**BOTH_KINDS, seed=2).network)


def test_the_same_seed_gives_the_same_learned_word_vectors(trained):
    first, second, other = (
        trained(root, **SIMPLE, word_vectors="learned", epochs=1, seed=seed).network
        for root, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert_same_weights(first, second)
    assert_other_weights(first, other)


@pytest.mark.parametrize("architecture", ["simple_rnn_titles", "simple_rnn", "lstm"])
def test_every_architecture_trains(trained, architecture):
    trained_network = trained(architecture=architecture, epochs=6, embedding_dim=16, units=8)
    # The class is in the title.
    assert max(trained_network.facts["history"]["val_accuracy"]) > 0.6


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(trained, precision):
    found = trained(precision=precision)
    assert found.network.get_layer("recurrent_1").compute_dtype == precision.removeprefix("mixed_")
    assert found.network.get_layer("logits").compute_dtype == "float32"
    assert max(found.facts["history"]["val_accuracy"]) > 0.9


def test_training_begins_with_learned_word_vectors(trained):
    frozen = trained("frozen", **SIMPLE, word_vectors="learned", word_vectors_trainable=False, epochs=1)
    tuned = trained("tuned", **SIMPLE, word_vectors="learned", epochs=1)
    begins, ends = (one.network.get_layer("embedding").get_weights()[0] for one in (frozen, tuned))
    assert np.abs(ends - begins).max() > 0
    assert np.corrcoef(begins[2:].ravel(), ends[2:].ravel())[0, 1] > 0.5


def test_the_result_has_the_weights_of_the_best_epoch(finished, val_rows, recipe):
    scores = finished.result.facts["history"]["val_accuracy"]
    assert finished.result.facts["best_epoch"] == 1 + int(np.argmax(scores))
    logits = predict_logits(finished.result.network, val_rows, Buckets(recipe().bucket_boundaries, 200))
    assert (logits.argmax(axis=1) == val_rows.labels).mean() == pytest.approx(max(scores), abs=1e-6)


def test_logits_are_in_the_order_of_the_rows(finished, val_rows, recipe):
    network = finished.result.network
    logits = predict_logits(network, val_rows, Buckets(recipe().bucket_boundaries, 100))
    for row in (0, 17, 79):
        ids = val_rows.token_ids[val_rows.offsets[row] : val_rows.offsets[row + 1]]
        np.testing.assert_allclose(logits[row], network(ids[np.newaxis], training=False)[0], atol=1e-5)


def test_a_finished_training_is_not_repeated(trained, finished, monkeypatch, tmp_path):
    shutil.copytree(finished.checkpoints, tmp_path / "checkpoints")
    monkeypatch.setattr(keras.Model, "fit", None)
    again = trained(**BOTH_KINDS)
    assert again.facts["history"] == finished.result.facts["history"]
    assert_same_weights(again.network, finished.result.network)


def test_other_rows_or_recipes_do_not_resume_a_checkpoint(trained, train_rows, val_rows, words, recipe, tmp_path):
    trained(**SIMPLE, epochs=1)
    trained(**SIMPLE, epochs=1, learning_rate=0.01)
    half = train_rows.select(np.arange(200))
    train(half, val_rows, words, recipe(**SIMPLE, epochs=1), checkpoint_root=str(tmp_path / "checkpoints"))
    assert len(os.listdir(tmp_path / "checkpoints")) == 3


KILLED = """
import os, pickle, sys
import keras
from components.trainer.training import train

arguments, root, signal, killed_epoch = sys.argv[1:]
with open(arguments, "rb") as file:
    rows, val, words, recipe = pickle.load(file)

class Kill(keras.callbacks.Callback):
    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == int(killed_epoch) and batch == 3:
            os.kill(os.getpid(), int(signal))

train(rows, val, words, recipe, checkpoint_root=root, callbacks=[Kill()])
"""


@pytest.mark.timeout(1800)
def test_a_killed_training_resumes_with_the_same_result(
    trained, finished, train_rows, val_rows, words, recipe, tmp_path
):
    """A training is killed in its second epoch and, after it has resumed, in its third: it repeats no epoch."""
    arguments, root = tmp_path / "arguments", tmp_path / "killed"
    arguments.write_bytes(pickle.dumps((train_rows, val_rows, words, recipe(**BOTH_KINDS))))
    for sent, epoch in ((signal.SIGTERM, 2), (signal.SIGKILL, 3)):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(arguments), str(root), str(int(sent)), str(epoch)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            timeout=600,
        )
        assert ended.returncode == -sent, ended.stderr.decode()[-2000:]
        [directory] = root.iterdir()
        assert f"epoch-{epoch - 1:03d}.weights.h5" in os.listdir(directory)
    resumed = trained("killed", **BOTH_KINDS)
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(
            resumed.facts["history"][name], finished.result.facts["history"][name], rtol=1e-3, atol=1e-3
        )
    for one, two in zip(resumed.network.get_weights(), finished.result.network.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_nan_loss_names_the_step_and_keeps_the_last_good_weights(trained, monkeypatch):
    class Spoil(keras.callbacks.Callback):
        epoch = 0

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_begin(self, batch, logs=None):
            if self.epoch == 1 and batch == 2:
                layer = self.model.get_layer("logits")
                layer.set_weights([weights * np.nan for weights in layer.get_weights()])

    fit = keras.Model.fit
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, *args, callbacks, **kw: fit(self, *args, callbacks=[Spoil(), *callbacks], **kw)
    )
    with pytest.raises(RunError, match=r"became nan at step 3 of epoch 2; .* are in .*epoch-001.weights.h5") as error:
        trained(**SIMPLE)
    path = str(error.value).split(" are in ")[1].split(";")[0].split(". Lower")[0]
    assert os.path.exists(path)


def test_progress_is_logged_with_fields(finished):
    events = {}
    for record in finished.records:
        if record.levelno == logging.INFO:
            events.setdefault(record.getMessage(), []).append(record.fields)
    [begin] = events["training begins"]
    assert begin["rows"] == 400
    assert begin["cudnn"].startswith("not used: ")
    assert [(fields["epoch"], fields["epochs"]) for fields in events["epoch done"]] == [(1, 3), (2, 3), (3, 3)]
    assert {"loss", "accuracy", "val_accuracy", "rows_per_second"} <= set(events["epoch done"][0])


def test_tensorboard_logs_are_written(finished):
    for split in ("train", "validation"):
        assert any(name.startswith("events.out.tfevents") for name in os.listdir(finished.logs / split))


def test_two_replicas_train_together(train_rows, val_rows, words, recipe, tmp_path):
    """Runs in a new process, since a running TensorFlow cannot split its CPU into two logical devices."""
    with open(tmp_path / "arguments", "wb") as file:
        pickle.dump((train_rows, val_rows, words, recipe()), file)
    code = textwrap.dedent(f"""
        import pickle
        import tensorflow as tf
        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        from components.trainer import devices, training
        devices.grow_gpu_memory = lambda: 2
        devices.strategy = lambda gpus: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with open({str(tmp_path / "arguments")!r}, "rb") as file:
            rows, val, words, recipe = pickle.load(file)
        facts = training.train(rows, val, words, recipe, checkpoint_root={str(tmp_path / "mirrored")!r}).facts
        print("replicas", facts["replicas"], "accuracy", max(facts["history"]["val_accuracy"]))
    """)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = ended.stdout.split()
    assert found[:2] == ["replicas", "2"]
    assert float(found[3]) > 0.9
