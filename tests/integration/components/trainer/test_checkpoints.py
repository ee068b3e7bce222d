import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.callbacks import Checkpoint


def model():
    network = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    network.compile("adam", "mse")
    return network


def checkpoint(directory, *, patience=9, network=None):
    made = Checkpoint(str(directory), monitor="val_accuracy", patience=patience)
    made.set_model(network or model())
    return made


def after_epochs(directory, *scores, **options):
    """Returns a checkpoint after epochs with these scores; the weights of an epoch are its number."""
    made = checkpoint(directory, **options)
    for epoch, score in enumerate(scores):
        made.model.set_weights([np.full([2, 1], epoch + 1), np.zeros(1)])
        made.on_epoch_end(epoch, {"val_accuracy": score, "loss": 1.0})
    return made


def kernel(network):
    return float(network.get_weights()[0][0, 0])


def test_the_last_and_the_best_epoch_are_kept(tmp_path):
    made = after_epochs(tmp_path, 0.5, 0.9, 0.7, 0.8)
    assert sorted(os.listdir(tmp_path)) == ["epoch-002.weights.h5", "epoch-004.weights.h5", "state.json"]
    fresh = model()
    made.load_best(fresh)
    assert kernel(fresh) == 2


def test_of_two_equal_epochs_the_first_is_the_best(tmp_path):
    assert after_epochs(tmp_path, 0.5, 0.9, 0.9).state.best_epoch == 2


def test_restore_loads_weights_optimizer_and_history(tmp_path):
    network = model()
    network.fit(np.ones([8, 2]), np.ones(8), verbose=0)
    after_epochs(tmp_path, 0.5, 0.6, network=network)
    later, fresh = checkpoint(tmp_path), model()
    assert later.restore(fresh) == 2
    assert kernel(fresh) == 2
    assert int(fresh.optimizer.iterations) == 1
    assert later.state.history == {"val_accuracy": [0.5, 0.6], "loss": [1.0, 1.0]}
    assert later.state.best_epoch == 2


def test_an_empty_directory_restores_no_epochs(tmp_path):
    assert checkpoint(tmp_path / "none").restore(model()) == 0
    assert checkpoint(tmp_path / "none").last_good_weights() is None


def test_training_stops_when_val_no_longer_improves(tmp_path):
    network = model()
    made = after_epochs(tmp_path, 0.9, 0.8, patience=2, network=network)
    assert not network.stop_training
    assert not made.is_finished(9)
    made.on_epoch_end(2, {"val_accuracy": 0.9})
    assert network.stop_training
    assert made.is_finished(9)


def test_training_ends_after_all_epochs(tmp_path):
    made = after_epochs(tmp_path, 0.8, 0.9)
    assert not made.is_finished(3)
    assert made.is_finished(2)


@pytest.mark.parametrize("step", ["save_weights", "state"])
def test_a_kill_while_writing_leaves_the_previous_epoch(tmp_path, monkeypatch, step):
    made = after_epochs(tmp_path, 0.5)

    def killed(*args, **kwargs):
        if step == "save_weights":
            with open(args[0] if isinstance(args[0], str) else args[1], "wb") as file:
                file.write(b"half")
        raise KeyboardInterrupt

    if step == "save_weights":
        monkeypatch.setattr(made.model, "save_weights", killed)
    else:
        monkeypatch.setattr(json, "dump", killed)
    with pytest.raises(KeyboardInterrupt):
        made.on_epoch_end(1, {"val_accuracy": 0.6})
    monkeypatch.undo()
    later, fresh = checkpoint(tmp_path), model()
    assert later.restore(fresh) == 1
    assert kernel(fresh) == 1


def test_removed_files_are_gone(tmp_path):
    after_epochs(tmp_path / "training", 0.5).remove()
    assert os.listdir(tmp_path) == []


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "changed": lambda data: data[:-1] + b"x",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_last_epoch_is_replaced_by_the_best_one(tmp_path, damage, caplog):
    after_epochs(tmp_path, 0.5, 0.9, 0.7, 0.8)
    last = tmp_path / "epoch-004.weights.h5"
    last.write_bytes(DAMAGE[damage](last.read_bytes()))
    resumed, network = checkpoint(tmp_path), model()
    assert resumed.restore(network) == 2
    assert kernel(network) == 2
    assert resumed.state.history["val_accuracy"] == [0.5, 0.9]
    assert "continues from epoch 2" in caplog.text


@pytest.mark.parametrize("name", ["state.json", "epoch-002.weights.h5"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_training_whose_checkpoint_is_damaged_begins_again(tmp_path, name, damage, caplog):
    after_epochs(tmp_path, 0.5, 0.9)
    (tmp_path / name).write_bytes(DAMAGE[damage]((tmp_path / name).read_bytes()))
    resumed = checkpoint(tmp_path)
    assert resumed.restore(model()) == 0
    assert "begins again" in caplog.text
    resumed.model.set_weights([np.full([2, 1], 7), np.zeros(1)])
    resumed.on_epoch_end(0, {"val_accuracy": 0.6, "loss": 1.0})
    assert checkpoint(tmp_path).restore(model()) == 1


def test_files_are_on_disk_before_they_get_their_names(tmp_path, monkeypatch):
    """After a power failure, a name without its content is an empty file."""
    done = []
    fsync, rename = os.fsync, tf.io.gfile.rename
    monkeypatch.setattr(
        os, "fsync", lambda number: (done.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    monkeypatch.setattr(tf.io.gfile, "rename", lambda a, b, **options: (done.append((a, b)), rename(a, b, **options)))
    after_epochs(tmp_path, 0.5)
    renamed = [step for step in done if isinstance(step, tuple)]
    assert [os.path.basename(new) for _, new in renamed] == ["epoch-001.weights.h5", "state.json"]
    for old, new in renamed:
        assert done.index(old) < done.index((old, new)) < done.index(str(tmp_path), done.index((old, new)))
