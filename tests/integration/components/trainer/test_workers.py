"""Two workers on this machine train one network together, as configured by TF_CONFIG."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import devices
from tests.support import ROOT

WORKER = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import keras
import numpy as np
from components.trainer import run_fn

place = Path(sys.argv[1])
train = run_fn.train

class Rows(keras.callbacks.Callback):
    own, of_both = [], []

    def on_test_begin(self, logs=None):
        # An epoch's rows, before those of val: a worker counts its own; read from outside of a step it is the sum.
        count = self.model._loss_tracker.count.value
        self.own.append(int(count.values[0]))
        self.of_both.append(int(count.numpy()))

def remembered(*rows, **options):
    trained = train(*rows, callbacks=[Rows()], **options)
    np.savez(place / "weights.npz", *trained.network.get_weights())
    (place / "facts.json").write_text(json.dumps(trained.facts | {"own": Rows.own, "of_both": Rows.of_both}))
    return trained

run_fn.train = remembered
run_fn.run_fn(SimpleNamespace(**json.loads((place / "arguments.json").read_text())))
"""


def write(path, rows):
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for index in range(len(rows)):
            values = {
                "token_ids": rows.token_ids[rows.offsets[index] : rows.offsets[index + 1]],
                "title_tokens": rows.title_counts[index : index + 1],
                "label": rows.labels[index : index + 1],
            }
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=value)) for name, value in values.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def free_ports(count):
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.fixture(scope="module")
def workers(train_rows, val_rows, recipe, transform_output, tmp_path_factory):
    """Returns the directories of both workers after the training."""
    place = tmp_path_factory.mktemp("workers")
    write(place / "train.gz", train_rows)
    write(place / "val.gz", val_rows)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    config = recipe(epochs=2, word_vectors="random").model_dump()
    config |= {"model_name": "agnews", "checkpoint_root": str(place / "checkpoints"), "code": "", "warmup_requests": 1}
    processes = []
    for index in range(2):
        directory = place / str(index)
        directory.mkdir()
        arguments = {
            "custom_config": config | {"max_memory_rows": 1000},
            "transform_output": transform_output.transform_savedmodel_dir.removesuffix("/transform_fn"),
            "train_files": [str(place / "train.gz")],
            "eval_files": [str(place / "val.gz")],
            "model_run_dir": None,
            "hyperparameters": None,
            "base_model": None,
            "serving_model_dir": str(directory / "model/Format-Serving"),
        }
        (directory / "arguments.json").write_text(json.dumps(arguments))
        tf_config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {
            "TF_CONFIG": json.dumps(tf_config),
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(directory)],
                env=os.environ | environment,
                stderr=open(directory / "log", "w"),  # noqa: SIM115 - the process holds it
            )
        )
    try:
        for index, process in enumerate(processes):
            assert process.wait(600) == 0, (place / str(index) / "log").read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [place / "0", place / "1"]


@pytest.fixture(scope="module")
def facts(workers):
    return [json.loads((directory / "facts.json").read_text()) for directory in workers]


def test_both_workers_end_with_the_same_weights_and_metrics(workers, facts):
    chief, other = (np.load(directory / "weights.npz") for directory in workers)
    assert len(chief.files) > 0
    for name in chief.files:
        np.testing.assert_array_equal(chief[name], other[name])
    for metric in ("loss", "val_loss", "val_accuracy"):
        assert facts[0]["history"][metric] == facts[1]["history"][metric]
    assert facts[0]["replicas"] == 2
    assert facts[0]["history"]["loss"][1] < facts[0]["history"]["loss"][0]


def test_workers_split_the_rows_of_an_epoch(facts, train_rows):
    rows, epochs = len(train_rows), 2
    assert [worker["of_both"] for worker in facts] == [[rows] * epochs] * 2
    assert [chief + other for chief, other in zip(*(worker["own"] for worker in facts), strict=True)] == [rows] * epochs
    assert min(min(worker["own"]) for worker in facts) > 0.4 * rows


def test_only_the_chief_exports(workers):
    chief, other = ((directory / "model/Format-Serving/saved_model.pb").exists() for directory in workers)
    assert (chief, other) == (True, False)


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        (None, None, (1, 0)),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 1}, (2, 1)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, {"type": "chief", "index": 0}, (3, 0)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, {"type": "worker", "index": 1}, (3, 2)),
    ],
)
def test_tf_config_determines_worker_count_and_index(monkeypatch, cluster, task, expected):
    if cluster is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert (devices.worker_count(), devices.worker_index()) == expected
