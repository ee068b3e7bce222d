"""Tests that the Trainer's executor records the exported files in the model's artifact."""

import json
from pathlib import Path

from tfx.types.standard_artifacts import Examples, Model, ModelRun, TransformGraph

from components.manifest import author_of, files_of
from components.trainer.component import TrainerExecutor


def write_export(fn_args):
    directory = Path(fn_args.serving_model_dir)
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")


def test_the_trained_files_and_the_author_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("AGNEWS_IDENTITY", "ann@here")
    model, run, examples, graph = Model(), ModelRun(), Examples(), TransformGraph()
    for artifact, name in ((model, "model"), (run, "run"), (examples, "examples"), (graph, "graph")):
        artifact.uri = str(tmp_path / name)
    examples.split_names = '["train", "val"]'
    properties = {
        "run_fn": f"{__name__}.write_export",
        "train_args": '{"splits": ["train"]}',
        "eval_args": '{"splits": ["val"]}',
        "custom_config": "null",
    }
    inputs = {"examples": [examples], "transform_graph": [graph]}
    TrainerExecutor().Do(inputs, {"model": [model], "model_run": [run]}, properties)
    recorded = json.loads(model.get_string_custom_property("files"))
    assert recorded == files_of(str(tmp_path / "model/Format-Serving"))
    assert list(recorded) == ["saved_model.pb"]
    assert author_of(model) == "ann@here"
