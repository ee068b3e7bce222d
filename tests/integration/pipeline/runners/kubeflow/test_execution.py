"""Runs the commands of a compiled pipeline's pods one after the other, with kfp's local runner.

The runner resolves the placeholders of the file, and passes artifacts and parameters between tasks. It runs only
lightweight Python components as processes, and requires Docker for others: these tests disable that check.
"""

import importlib
import json
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from kfp import local
from kfp.local import pipeline_orchestrator, subprocess_task_handler
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.example_gen.synthetic import write_synthetic
from pipeline.cli import cli
from pipeline.runners.kubeflow import pod
from schema.errors import ApprovalError, ApprovalPending, ValidationError
from serving.audit import AuditLog
from tests.support import ROOT

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


GATE_AND_PUSH = {"ApprovalGate", "AgNewsPusher"}


class Cluster:
    """Runs compiled pipelines.

    After a run, `statuses` contains the exit status of each pod, and `message` the error.
    """

    def __init__(self, directory, monkeypatch):
        self.directory = directory
        self._runs = 0
        handler = subprocess_task_handler.SubprocessTaskHandler
        monkeypatch.setattr(handler, "validate_not_container_component", lambda *arguments: None)
        monkeypatch.setattr(subprocess_task_handler, "run_local_subprocess", self._run_pod)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(self, specification, *, cache=None, anew=(), in_this_process=False, **parameters):
        """Runs a pipeline and returns the artifacts.

        Args:
            specification: the compiled pipeline.
            cache: directory of an earlier run, whose outputs replace the other pods.
            anew: tasks to run even with a cache.
            in_this_process: run in this process, because TensorFlow Extended takes long to import.
            **parameters: runtime parameters.
        """
        self.statuses, self._cache, self._anew, self._in_this_process = {}, cache, anew, in_this_process
        # kfp's runner removes five letters from a component's name, the prefix of its own components.
        self._names = {name[5:]: name for name in specification["components"]}
        self._runs += 1
        self.latest = self.directory / f"artifacts{self._runs}"
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(self.latest), raise_on_error=False)
        pipeline_orchestrator.run_local_pipeline(json_format.ParseDict(specification, PipelineSpec()), parameters)
        outputs = [json.loads(path.read_text()) for path in self.latest.glob("*/*/executor_output.json")]
        return {
            name: artifact["artifacts"][0]
            for output in outputs
            for name, artifact in output.get("artifacts", {}).items()
        }

    def _run_pod(self, full_command):
        assert full_command[:2] == [sys.executable, "-m"]
        invocation = full_command[full_command.index("--json_serialized_invocation_args") + 1]
        place = pathlib.Path(json.loads(invocation)["outputs"]["outputFile"])
        task = self._names[place.parent.name]
        if self._cache and task not in self._anew:
            place.parent.mkdir(parents=True, exist_ok=True)
            [kept] = self._cache.glob(f"*/{place.parent.name}/{place.name}")
            place.write_bytes(kept.read_bytes())
            return 0
        if self._in_this_process:
            status = self._run_here(full_command[2], full_command[3:])
        else:
            status = subprocess.run(full_command, check=False).returncode
        self.statuses[task] = status
        return status

    def _run_here(self, module, arguments):
        try:
            with pod.ending_with_the_message():
                importlib.import_module(module).main(arguments)
        except SystemExit as ended:
            self.message = str(ended.__context__)
            return ended.code
        return 0


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    return Cluster(tmp_path, monkeypatch)


def part(specification, tasks):
    """Returns a specification with only the given first tasks."""
    changed = json.loads(json.dumps(specification))
    changed["root"]["dag"]["tasks"] = {name: changed["root"]["dag"]["tasks"][name] for name in tasks}
    return changed


def test_a_span_that_drifted_from_the_accepted_one_before_it_is_refused(cluster, compiled_for, tmp_path):
    for span in (1, 2):
        write_synthetic(tmp_path / f"data/{span}", train_rows=400, test_rows=100, seed=span)
    patterns = {f"data__{split}_pattern": f"{{SPAN}}/{split}.csv" for split in ("train", "test")}
    specification = part(compiled_for(tmp_path, **patterns).documents[0], BEFORE_TRAINING)

    made = cluster.run(specification, span=1, in_this_process=True)
    assert (made["examples"]["metadata"]["span"], made["examples"]["metadata"]["rows_read"]) == (1, 500)
    assert made["examples"]["metadata"]["source"] == f"{tmp_path}/data"
    cluster.run(
        specification, in_this_process=True
    )  # The latest span has few rows, so that the text lengths differ by chance.
    assert cluster.statuses["ValidationGate"] == ValidationError.exit_code
    assert "raise the feature's drift_comparator" in cluster.message
    assert [path.name for path in (tmp_path / "serving_model/statistics").glob("*/*")] == ["1"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory, compiled_for):
    """Runs all pods without a gate, each in a separate process; returns directory, artifacts and version."""
    directory = tmp_path_factory.mktemp("kubeflow")
    write_synthetic(directory / "elsewhere", train_rows=400, test_rows=100, seed=7)
    specification = compiled_for(directory, **SMALL).documents[0]
    with pytest.MonkeyPatch.context() as monkeypatch:
        cluster = Cluster(directory, monkeypatch)
        made = cluster.run(
            specification, data_path=str(directory / "elsewhere"), epochs=2, destination=str(directory / "other_place")
        )
    assert set(cluster.statuses.values()) == {0}
    return cluster, made


@pytest.mark.timeout(1800)
def test_what_the_pods_run_ends_in_a_push(executed):
    cluster, made = executed
    [version] = versions_in(cluster.directory / "other_place")
    assert made["pushed_model"]["metadata"]["pushed_destination"] == str(version)
    facts = json.loads((version / "assets.extra/training.json").read_text())
    assert len(facts["history"]["loss"]) == 2
    [line] = AuditLog(cluster.directory / "other_place/audit.jsonl").lines()
    assert (line.entry.action, line.entry.version) == ("push", int(version.name))
    card = json.loads((pathlib.Path(made["model_card"]["uri"]) / "evidence.json").read_text())
    assert made["model"]["uri"] in json.dumps(card)


def versions_in(destination):
    versions = destination / "agnews"
    return [path for path in versions.iterdir() if path.name.isdecimal()] if versions.exists() else []


class Gated:
    """Runs the executed pipeline with a gate before the push; all tasks before the gate come from the cache."""

    def __init__(self, executed, cluster, compiled_for):
        earlier, self.made = executed
        self._cluster, self._cache, self._root = cluster, earlier.latest, earlier.directory
        self._specification = compiled_for(self._root, **SMALL, promotion__require_approval="true").documents[0]
        self.destination = cluster.directory / "serving_model"

    def run(self, *, in_this_process=True):
        """Returns the exit statuses of the gate and of the next pods that ran."""
        self.made = self._cluster.run(
            self._specification,
            cache=self._cache,
            anew=GATE_AND_PUSH,
            in_this_process=in_this_process,
            destination=str(self.destination),
            author="ann@here",
        )
        return self._cluster.statuses

    def agnews(self, *arguments):
        """Runs a command of an approver on the mounted volume."""
        places = {"kubeflow.mount_path": self._root, "pipeline.root": self._root / "runs"}
        places |= {"pusher.destination": self.destination}
        flags = [flag for key, place in places.items() for flag in ("--set", f"{key}={place}")]
        ended = CliRunner().invoke(cli, [*arguments, "--profile", "kubeflow", *flags])
        return ended.output if ended.exit_code == 0 else ended.exception

    @property
    def asked(self):
        """Returns the fingerprint of the model that needs an approval."""
        [request] = json.loads(self.agnews("approvals", "list", "--json"))
        return request["fingerprint"]

    @property
    def entries(self):
        return [line.entry for line in AuditLog(self.destination / "audit.jsonl").lines()]


@pytest.fixture
def gated(executed, cluster, compiled_for):
    return Gated(executed, cluster, compiled_for)


@pytest.mark.timeout(1800)
def test_a_run_stops_at_the_gate_and_the_same_run_pushes_when_another_person_approved(gated):
    stopped = gated.run(in_this_process=False)
    assert stopped == {"ApprovalGate": ApprovalPending.exit_code}
    assert versions_in(gated.destination) == []
    assert "ann@here" in gated.agnews("approvals", "list")

    refused = gated.agnews("approvals", "approve", gated.asked[:8], "--by", "ann@laptop", "--reason", "mine")
    assert isinstance(refused, ApprovalError)
    assert gated.run() == stopped
    assert "is approved; approved by bob@here" in gated.agnews(
        "approvals", "approve", gated.asked[:8], "--by", "bob@here", "--reason", "recall is up"
    )
    assert gated.run() == {"ApprovalGate": 0, "AgNewsPusher": 0}
    [version] = versions_in(gated.destination)
    request, approval, push = gated.entries
    assert (request.action, request.by, approval.action, push.action) == ("request", "ann@here", "approve", "push")
    assert (push.version, push.why) == (int(version.name), "approved by bob@here: recall is up")
    assert request.fingerprint == approval.fingerprint == push.fingerprint
    assert gated.agnews("audit", "verify").startswith(f"{gated.destination}/audit.jsonl: 3 entries, as they were")


@pytest.mark.timeout(1800)
def test_a_rejected_model_is_not_pushed_and_its_run_ends_well(gated):
    gated.run()
    gated.agnews("approvals", "reject", gated.asked, "--by", "bob@here", "--reason", "bad rows")
    assert set(gated.run().values()) == {0}
    assert versions_in(gated.destination) == []
    assert gated.made["pushed_model"]["metadata"]["pushed"] == 0
    assert gated.made["approval"]["metadata"]["reason"] == "bob@here: bad rows"
