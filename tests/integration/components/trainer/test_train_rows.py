"""Tests the training from a file of rows, which needs TensorFlow, Keras and NumPy alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from components.trainer.rows_file import RowsFile, StoredRecipe
from components.trainer.training import train
from schema.errors import DataError
from schema.features import CLASS_NAMES
from schema.model_contract import CLASS_COUNT
from tests.support.tiny_training import TENSORFLOW_ALONE


@pytest.fixture(scope="module")
def content(train_rows, val_rows, words, recipe):
    values = recipe(architecture="lstm", consistency=0.0, perturbation=0.0, epochs=1, wide=True).model_dump()
    vectors = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    return RowsFile({"train": train_rows, "val": val_rows, "test": val_rows}, words, vectors, StoredRecipe(**values))


def test_a_file_of_rows_is_read_as_it_was_written(content, tmp_path):
    content.write(tmp_path / "rows.npz")
    read = RowsFile.read(tmp_path / "rows.npz")
    assert {name: rows.fingerprint() for name, rows in read.rows.items()} == {
        name: rows.fingerprint() for name, rows in content.rows.items()
    }
    assert read.words == content.words
    assert json.dumps(vars(read.recipe)) == json.dumps(vars(content.recipe))
    np.testing.assert_array_equal(read.vectors, content.vectors)


def test_a_file_without_word_vectors_is_read(content, tmp_path):
    RowsFile(content.rows, content.words, None, content.recipe).write(tmp_path / "rows.npz")
    assert RowsFile.read(tmp_path / "rows.npz").vectors is None


@pytest.mark.parametrize("damage", [None, b"no rows", b"PK\x03\x04"], ids=["missing", "text", "cut"])
def test_what_is_not_a_file_of_rows_is_an_error_with_advice(damage, tmp_path):
    if damage is not None:
        (tmp_path / "rows.npz").write_bytes(damage)
    with pytest.raises(DataError, match=r"rows\.npz: .*make rows-file"):
        RowsFile.read(tmp_path / "rows.npz")


def test_the_contract_counts_the_classes_of_the_schema():
    assert len(CLASS_NAMES) == CLASS_COUNT


def test_the_training_runs_with_tensorflow_alone_and_is_the_same(content, train_rows, val_rows, words, tmp_path):
    content.write(tmp_path / "rows.npz")
    command = [
        sys.executable,
        "-c",
        TENSORFLOW_ALONE,
        "components.trainer.train_rows",
        "--rows",
        str(tmp_path / "rows.npz"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    facts = json.loads(ended.stdout.splitlines()[-1])
    here = train(
        *(train_rows, val_rows, words, content.recipe), checkpoint_root=str(tmp_path / "here"), vectors=content.vectors
    )
    assert facts["history"]["val_loss"] == here.facts["history"]["val_loss"]
    assert facts["test_accuracy"] == facts["history"]["val_accuracy"][0]


def test_an_unknown_key_of_the_recipe_is_an_error_without_a_stack_trace(content, tmp_path, capsys):
    from components.trainer.train_rows import main

    content.write(tmp_path / "rows.npz")
    assert main(["--rows", str(tmp_path / "rows.npz"), "--set", "epoch=2"]) == 2
    assert "--set epoch=2: expected KEY=VALUE with a key of the recipe: architecture, " in capsys.readouterr().err
