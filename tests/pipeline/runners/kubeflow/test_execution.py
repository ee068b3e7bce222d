"""Runs what the pods of a compiled pipeline run, one after the other, as kfp's own local runner does.

That runner resolves the file's placeholders and carries artifacts and parameters from task to task. It starts
lightweight Python components alone as processes, and wants Docker for the others: its guard is lifted here.
"""

import importlib
import json
import os
import sys

import pytest
from google.protobuf import json_format
from kfp import local
from kfp.local import pipeline_orchestrator, subprocess_task_handler
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.example_gen.synthetic import write_synthetic
from schema.audit import AuditLog
from schema.errors import ValidationError

ROOT = os.path.abspath(f"{importlib.import_module('pipeline').__file__}/../..")
SMALL = {
    "transform__vocabulary_size": "500",
    "trainer__epochs": "5",
    "trainer__embedding_dim": "16",
    "trainer__units": "8",
    "trainer__batch_tokens": "500",
    "trainer__learning_rate": "0.02",
    "model_card__robustness_rows": "20",
    "evaluator__min_accuracy": "0.3",
    "evaluator__min_label_recall": "0",
}
BEFORE_TRAINING = {
    *("FindData", "AgNewsExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator"),
    *("PreviousStatisticsResolver", "ValidationGate", "KeepStatistics"),
}


@pytest.fixture
def kubeflow(tmp_path, monkeypatch):
    """Runs a compiled pipeline with runtime parameters; gives the executor output of each task."""
    handler = subprocess_task_handler.SubprocessTaskHandler
    monkeypatch.setattr(handler, "validate_not_container_component", lambda *arguments: None)
    monkeypatch.setenv("PYTHONPATH", ROOT)
    runs = []

    def kubeflow(specification, **parameters):
        runs.append(tmp_path / f"artifacts{len(runs)}")
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(runs[-1]))
        message = json_format.ParseDict(specification, PipelineSpec())
        pipeline_orchestrator.run_local_pipeline(message, parameters)
        outputs = [json.loads(path.read_text()) for path in runs[-1].glob("*/*/executor_output.json")]
        return {
            name: artifact["artifacts"][0]
            for output in outputs
            for name, artifact in output.get("artifacts", {}).items()
        }

    return kubeflow


@pytest.fixture
def in_this_process(monkeypatch):
    """Each pod's command line runs here: TensorFlow Extended takes long to import."""

    def run(full_command):
        assert full_command[:2] == [sys.executable, "-m"]
        importlib.import_module(full_command[2]).main(full_command[3:])
        return 0

    monkeypatch.setattr(subprocess_task_handler, "run_local_subprocess", run)


def part(specification, tasks):
    """The first tasks of a pipeline alone."""
    changed = json.loads(json.dumps(specification))
    changed["root"]["dag"]["tasks"] = {name: changed["root"]["dag"]["tasks"][name] for name in tasks}
    return changed


def test_a_span_that_drifted_from_the_accepted_one_before_it_is_refused(
    kubeflow, in_this_process, compiled_for, tmp_path
):
    for span in (1, 2):
        write_synthetic(tmp_path / f"data/{span}", train_rows=400, test_rows=100, seed=span)
    patterns = {f"data__{split}_pattern": f"{{SPAN}}/{split}.csv" for split in ("train", "test")}
    specification = part(compiled_for(tmp_path, **patterns).documents[0], BEFORE_TRAINING)

    made = kubeflow(specification, span=1)
    assert (made["examples"]["metadata"]["span"], made["examples"]["metadata"]["rows_read"]) == (1, 500)
    assert made["examples"]["metadata"]["source"] == f"{tmp_path}/data"
    with pytest.raises(ValidationError, match="raise the feature's drift_comparator"):
        kubeflow(specification)  # The latest span: few rows, so that their lengths differ by chance.
    assert [path.name for path in (tmp_path / "serving_model/statistics").glob("*/*")] == ["1"]


@pytest.mark.timeout(1800)
def test_what_the_pods_run_ends_in_a_push(kubeflow, compiled_for, tmp_path):
    write_synthetic(tmp_path / "elsewhere", train_rows=400, test_rows=100, seed=7)
    specification = compiled_for(tmp_path, **SMALL).documents[0]
    made = kubeflow(
        specification, data_path=str(tmp_path / "elsewhere"), epochs=2, destination=str(tmp_path / "other_place")
    )
    [version] = [path for path in (tmp_path / "other_place/agnews").iterdir() if path.name.isdecimal()]
    assert made["pushed_model"]["metadata"]["pushed_destination"] == str(version)
    facts = json.loads((version / "assets.extra/training.json").read_text())
    assert len(facts["history"]["loss"]) == 2
    [line] = AuditLog(tmp_path / "other_place/audit.jsonl").lines()
    assert (line.entry.action, line.entry.version) == ("push", int(version.name))
    card = json.loads((tmp_path / made["model_card"]["uri"] / "evidence.json").read_text())
    assert made["model"]["uri"] in json.dumps(card)
