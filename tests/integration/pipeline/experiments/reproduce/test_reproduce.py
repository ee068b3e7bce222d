"""A tiny model's training, repeated from its records."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.experiments import reproduce as reproduction
from pipeline.experiments.reproduce.comparison import WeightComparison, compare_facts, compare_weights
from schema.errors import ReproductionError
from tests.support.recorded_run import record
from tests.support.recorder import Recorder
from tests.support.texts import TEXTS


def reproduce(recorded, directory, **options):
    return reproduction.reproduce(
        recorded.settings, recorded.store(), recorded.model_id, directory, Recorder(), **options
    )


def content(directory):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in directory.rglob("*") if path.is_file()}


def test_an_unchanged_training_is_reproduced_exactly(recorded, tmp_path):
    before = content(tmp_path / "place")
    outcome = reproduce(recorded, tmp_path / "scratch")
    assert outcome.same
    assert outcome.same_rows is True
    assert (outcome.weights.identical, outcome.weights.largest) == (outcome.weights.tensors, 0.0)
    assert {"loss", "val_accuracy", "best_epoch", "calibration temperature"} <= outcome.metrics.keys()
    assert {one.largest for one in outcome.metrics.values()} == {0.0}
    assert (outcome.answers.rows, outcome.answers.largest) == (200, 0.0)
    assert content(tmp_path / "place") == before
    assert json.loads(outcome.to_json())["model"] == recorded.model_id


def test_a_different_seed_gives_measured_differences(exported, transform_output, tiny_settings, tmp_path):
    wrong = record(exported, transform_output, tiny_settings.model_copy(update={"seed": 7}), TEXTS, tmp_path / "place")
    outcome = reproduce(wrong, tmp_path / "scratch")
    assert not outcome.same
    assert outcome.same_rows is True
    assert 0 < outcome.weights.largest < 10
    assert outcome.metrics["loss"].largest > 0
    assert outcome.answers.largest > 0


def test_changed_code_is_refused_with_the_revision_to_check_out(recorded, tmp_path, monkeypatch):
    card = tmp_path / "card"
    card.mkdir()
    environment = {"revision": {"commit": "abc123", "dirty": True}, "versions": {"keras": "0.1"}}
    (card / "evidence.json").write_text(json.dumps({"environment": environment}))
    written = recorded.write.artifact("agnews.ModelCard", card)
    recorded.write.execution("ModelCardGen", {"model": recorded.trained}, {"model_card": written})
    monkeypatch.setattr("pipeline.experiments.reproduce.recorded.code_version", lambda stage: "other")
    with pytest.raises(ReproductionError, match=r"Check out abc123, which had uncommitted changes.*--any-code"):
        reproduce(recorded, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_missing_rows_and_source_files_are_an_error(recorded, tmp_path):
    shutil.rmtree(recorded.transformed)
    with pytest.raises(ReproductionError, match="put the data back"):
        reproduce(recorded, tmp_path / "scratch")


def test_a_missing_schema_is_an_error_if_rows_have_to_be_ingested_again(recorded, tmp_path):
    shutil.rmtree(recorded.transformed)
    (recorded.examples.parent / "schema/schema.pbtxt").unlink()
    with pytest.raises(
        ReproductionError, match=r"the schema of their data set \(.*schema\.pbtxt.*put one of them back"
    ):
        reproduce(recorded, tmp_path / "scratch")


def test_changed_rows_are_not_used(recorded, tmp_path):
    [rows] = (recorded.transformed / "Split-train").iterdir()
    shutil.copy(next((recorded.transformed / "Split-val").iterdir()), rows)
    with pytest.raises(ReproductionError, match="put the data back"):
        reproduce(recorded, tmp_path / "scratch")


def test_a_missing_export_is_an_error(recorded, tmp_path):
    shutil.rmtree(recorded.model)
    with pytest.raises(ReproductionError, match="nothing to compare with"):
        reproduce(recorded, tmp_path / "scratch")


def test_times_are_not_compared_and_a_missing_epoch_is_a_difference():
    calibration = {"temperature": 1.0, "ece_before": 0.25, "ece_after": 0.25, "not_learned": "val has 23 rows"}
    then = {"history": {"loss": [0.5, 0.25], "seconds": [1.0, 1.0]}, "best_epoch": 1, "calibration": calibration}
    now = {"history": {"loss": [0.5], "seconds": [2.0]}, "best_epoch": 2}
    now["calibration"] = {"temperature": 1.5, "ece_before": 0.25, "ece_after": 0.5}
    differences = compare_facts(then, now)
    assert {name: one.largest for name, one in differences.items()} == {
        "loss": None,
        "best_epoch": 1,
        "calibration temperature": 0.5,
        "calibration ece_before": 0.0,
        "calibration ece_after": 0.25,
    }


def test_a_changed_weight_is_reported_with_its_difference(recorded, tmp_path):
    import tensorflow as tf

    class Holder(tf.Module):
        def __init__(self, value):
            super().__init__()
            self.variables_ = [tf.Variable(value), tf.Variable(np.float32([1.0]))]

    paths = []
    for name, value in (("a", [1.0, 2.0]), ("b", [1.0, 2.25])):
        tf.train.Checkpoint(variables=Holder(np.float32(value)).variables_).write(
            str(tmp_path / name / "variables/variables")
        )
        paths.append(tmp_path / name)
    assert compare_weights(*paths) == WeightComparison(tensors=2, identical=1, largest=0.25, only_one=())
    assert compare_weights(*paths).within(0.25)
    assert not compare_weights(*paths).within(0.2)
    assert not WeightComparison(0, 0, 0.0, ()).within(1.0)


@pytest.mark.parametrize("deleted", ["", "variables", "assets"])
def test_an_export_that_was_deleted_in_part_is_named(recorded, tmp_path, deleted):
    shutil.rmtree(recorded.model / deleted)
    with pytest.raises(ReproductionError, match=f"export of model {recorded.model_id} .*Name a pushed version"):
        reproduce(recorded, tmp_path / "scratch")


def test_a_deleted_transform_graph_counts_as_lost_rows(recorded, tmp_path):
    [graph] = recorded.store().get_artifacts_by_type("TransformGraph")
    copy = shutil.copytree(graph.uri, tmp_path / "graph", ignore=lambda *_: ["transform_fn"])
    graph.uri = str(copy)
    recorded.write.store.put_artifacts([graph])
    with pytest.raises(ReproductionError, match="put the data back"):
        reproduce(recorded, tmp_path / "scratch")


def test_deleted_values_of_a_search_are_named(recorded, tmp_path):
    chosen = recorded.write.artifact("HyperParameters", tmp_path / "gone")
    [trainer] = [one for one in recorded.store().get_executions() if one.type == "Trainer"]
    event = mlmd.Event(
        type=mlmd.Event.INPUT,
        execution_id=trainer.id,
        artifact_id=chosen.id,
        path=mlmd.Event.Path(steps=[{"key": "hyperparameters"}, {"index": 0}]),
    )
    recorded.write.store.put_events([event])
    with pytest.raises(ReproductionError, match=rf"HyperParameters {chosen.id}, .*{tmp_path}/gone"):
        reproduce(recorded, tmp_path / "scratch")
