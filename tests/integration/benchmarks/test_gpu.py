"""Tests the benchmark of GPUs on a CPU; docs/explanation/limitations.md says what was not run."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.gpu import main
from components.trainer.rows_file import RowsFile, StoredRecipe
from tests.support import ROOT
from tests.support.tiny_training import TENSORFLOW_ALONE, TINY, WORDS, make_rows


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    rows = {
        split: make_rows(count, seed)
        for seed, (split, count) in enumerate({"train": 400, "val": 80, "test": 80}.items())
    }
    vectors = np.random.default_rng(1).normal(size=(len(WORDS) + 2, 8)).astype(np.float32)
    recipe = TINY.model_copy(update={"architecture": "lstm", "epochs": 1, "consistency": 0.0, "perturbation": 0.0})
    RowsFile(rows, WORDS, vectors, StoredRecipe(**recipe.model_dump())).write(path)
    return path


def test_it_runs_on_the_cpu_with_tensorflow_alone(rows_file):
    options = ["--device", "cpu", "--rows", "300", "--batch-tokens", "200", "--precisions", "float32"]
    command = [sys.executable, "-c", TENSORFLOW_ALONE, "benchmarks.gpu", "--input", str(rows_file), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr[-3000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert (figures["device"], figures["rows"]) == ("CPU", 300)
    assert [(one["precision"], one["batch_tokens"]) for one in figures["speed"]] == [("float32", 200)]
    assert min(figures["notebook"]["rows_per_second"], figures["speed"][0]["rows_per_second"]) > 0
    assert 0 < figures["training"]["test_accuracy"] <= 1
    assert figures["training"]["export_difference"] < 1e-4


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU is there")
def test_it_refuses_without_a_gpu_in_one_line(rows_file, capsys):
    assert main(["--input", str(rows_file)]) == 1
    assert capsys.readouterr().err == "error: TensorFlow sees no GPU here; --device cpu tries the script on the CPU\n"


def test_it_reports_a_file_that_is_not_there(tmp_path, capsys):
    assert main(["--input", str(tmp_path / "rows.npz"), "--device", "cpu"]) == 3
    assert "rows.npz: No such file or directory; write a file of rows" in capsys.readouterr().err
