"""Simulates a metadata store with thousands of runs and the files that the review site reads, within a minute.

Components, artifacts, events and contexts are those of `pipeline.dag` with the approval gate; metrics are random. Of
every ten runs five are trained, approved and pushed, one is cached, one is not blessed, one fails on its data, one is
waiting for approval and one is rejected. Every ten runs have a span of their own.
"""

import hashlib
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_files import write_card_files, write_data_files
from components.manifest import JUDGED
from schema.data_set import SCHEMA_PATH
from schema.features import CLASS_NAMES
from schema.metadata import (
    ANOMALIES,
    APPROVAL,
    APPROVAL_DECISION,
    APPROVAL_REQUEST,
    DECISION_EXECUTION,
    EVALUATION,
    EXAMPLES,
    INFRA_BLESSING,
    MODEL,
    MODEL_BLESSING,
    MODEL_CARD,
    MODEL_RUN,
    NODE_CONTEXT,
    PIPELINE_CONTEXT,
    PUSHED_MODEL,
    RUN_CONTEXT,
    SCHEMA,
    STATISTICS,
    TRANSFORM_GRAPH,
    VALIDATION_BLESSING,
)
from schema.model_contract import MLMD_UUID, SAVED_MODEL
from serving.audit import AUDIT_FILE, AuditLog, Entry, fingerprint, manifest

_RUNS_PER_WRITE = 50
AUTHOR, APPROVER = "ann@example.com", "bob@example.com"

_DATA = ("AgNewsExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator", "ValidationGate", "Transform")
# Component id, inputs by role, and output types by role.
_NODES: tuple[tuple[str, dict[str, str], dict[str, str]], ...] = (
    ("AgNewsExampleGen", {}, {"examples": EXAMPLES}),
    ("ImportSchemaGen", {}, {"schema": SCHEMA}),
    ("StatisticsGen", {"examples": "examples", "schema": "schema"}, {"statistics": STATISTICS}),
    ("ExampleValidator", {"statistics": "statistics", "schema": "schema"}, {"anomalies": ANOMALIES}),
    (
        "ValidationGate",
        {"statistics": "statistics", "schema": "schema", "anomalies": "anomalies"},
        {"data_blessing": VALIDATION_BLESSING},
    ),
    (
        "Transform",
        {"examples": "examples", "schema": "schema"},
        {"transform_graph": TRANSFORM_GRAPH, "transformed_examples": EXAMPLES},
    ),
    (
        "Trainer",
        {"examples": "transformed_examples", "transform_graph": "transform_graph"},
        {"model": MODEL, "model_run": MODEL_RUN},
    ),
    (
        "Evaluator",
        {"examples": "examples", "model": "model", "baseline_model": "baseline"},
        {"evaluation": EVALUATION, "blessing": MODEL_BLESSING},
    ),
    ("AgNewsInfraValidator", {"examples": "examples", "model": "model"}, {"infra_blessing": INFRA_BLESSING}),
    (
        "ModelCardGen",
        {
            **{role: role for role in ("examples", "statistics", "model", "evaluation", "blessing", "infra_blessing")},
            "baseline_model": "baseline",
        },
        {"model_card": MODEL_CARD},
    ),
    ("RequestApproval", {"model": "model", "model_blessing": "blessing"}, {"request": APPROVAL_REQUEST}),
    ("ApprovalGate", {"request": "request"}, {"approval": APPROVAL}),
    ("AgNewsPusher", {"model": "model", "approval": "approval"}, {"pushed_model": PUSHED_MODEL}),
)


@dataclass(frozen=True)
class _Outcome:
    """The outcome of a run."""

    data: bool = False
    trains: bool = True
    blessed: bool = True
    decision: bool | None = True
    fails_at: str | None = None


_OUTCOMES = (
    _Outcome(data=True),
    *[_Outcome()] * 4,
    _Outcome(trains=False),
    _Outcome(blessed=False, decision=None),
    _Outcome(data=True, fails_at="ValidationGate"),
    _Outcome(decision=None, fails_at="ApprovalGate"),
    _Outcome(decision=False),
)


class SimulatedStore:
    """A simulated metadata store.

    Args:
        root: directory for `metadata.sqlite` and the artifacts' files.
        files: number of different sets of files; later runs share those of earlier ones.
        test_rows: number of test rows in each set.
        exports: whether to write the models' files too.
        connection: an empty store; None creates one in a file.
        seed: random seed of all figures.
    """

    def __init__(
        self,
        root: Path,
        *,
        files: int = 10,
        test_rows: int = 7_600,
        exports: bool = False,
        connection: mlmd.ConnectionConfig | None = None,
        seed: int = 1,
    ):
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.connection = connection or _file(root / "metadata.sqlite")
        self.store = MetadataStore(self.connection)
        self.pushed: list[tuple[int, int]] = []
        self._files, self._test_rows, self._exports = files, test_rows, exports
        self._random = random.Random(seed)
        self._types: dict[str, int] = {}
        self._contexts: dict[str, int] = {}
        self._artifacts = self._executions = 0
        self._current: dict[str, int] = {}
        self._baseline: int | None = None
        self._runs = 0
        self._begin()

    def add_runs(self, count: int) -> None:
        """Adds runs, continuing the sequence of outcomes."""
        for start in range(0, count, _RUNS_PER_WRITE):
            self._begin()
            for _ in range(min(_RUNS_PER_WRITE, count - start)):
                self._add_run()
            self._write()

    def serve(self, destination: Path, count: int) -> list[int]:
        """Writes the latest pushed versions and their audit log to a serving directory; returns their numbers."""
        log = AuditLog(destination / AUDIT_FILE)
        shown = self.pushed[-count:]
        for version, model in shown:
            export = destination / "agnews" / str(version)
            (export / MLMD_UUID).parent.mkdir(parents=True)
            (export / SAVED_MODEL).write_bytes(b"graph")
            (export / MLMD_UUID).write_text(str(model))
            log.append(Entry("push", "agnews", version, by=AUTHOR, details={"files": manifest(export)}))
        return [version for version, _ in shown]

    def _begin(self) -> None:
        self._new_artifacts: list[mlmd.Artifact] = []
        self._new_executions: list[mlmd.Execution] = []
        self._new_events: list[mlmd.Event] = []
        self._associations: list[mlmd.Association] = []

    def _write(self) -> None:
        """Writes collected records; their ids were predicted, which works because this is the only writer."""
        store = self.store
        artifacts, executions = store.put_artifacts(self._new_artifacts), store.put_executions(self._new_executions)
        assert (artifacts[-1], executions[-1]) == (self._artifacts, self._executions)
        store.put_events(self._new_events)
        store.put_attributions_and_associations([], self._associations)

    def _add_run(self) -> None:
        number, outcome = self._runs, _OUTCOMES[self._runs % len(_OUTCOMES)]
        self._runs += 1
        run = self._context(RUN_CONTEXT, f"local-{number:06d}")
        made = dict(self._current)
        if outcome.trains and self._baseline is not None:
            made["baseline"] = self._baseline
        for node, reads, makes in _NODES:
            fresh = outcome.trains and (outcome.data or node not in _DATA)
            fails = node == outcome.fails_at
            state = mlmd.Execution.FAILED if fails else mlmd.Execution.COMPLETE if fresh else mlmd.Execution.CACHED
            contexts = [run, self._context(NODE_CONTEXT, f"agnews.{node}"), self._context(PIPELINE_CONTEXT, "agnews")]
            execution = self._execution(f"components.{node}", state, contexts)
            if node == "Trainer":
                # Those of the evidence, see `write_card_files`.
                recipe = {"epochs": 2 + number % 4, "units": 16}
                self._new_executions[-1].custom_properties["custom_config"].string_value = json.dumps(recipe)
            for role, source in reads.items():
                if source in made:
                    self._event(execution, made[source], role, mlmd.Event.INPUT)
            if fails:
                return
            for role, kind in makes.items():
                if fresh:
                    made[role] = self._artifact(kind, *self._describe(role, number, outcome, made))
                self._event(execution, made[role], role, mlmd.Event.OUTPUT)
            if node == "RequestApproval" and outcome.decision is not None and fresh:
                self._decide(made["model"], number, outcome.decision)
        self._current = made
        if outcome.trains and outcome.blessed:
            self._baseline = made["model"]

    def _describe(self, role: str, run: int, outcome: _Outcome, made: dict[str, int]) -> tuple[str, dict[str, Any]]:
        """Returns the URI and the properties of an artifact."""
        uri, digest = str(self.root / f"agnews/{role}/{run}"), _fingerprint(run)
        if role in ("examples", "statistics", "anomalies"):
            files = self.root / f"data-{run // len(_OUTCOMES) % self._files}"
            if not files.exists():
                write_data_files(files, self._random, self._test_rows)
            span = run // len(_OUTCOMES)
            counts = {"rows_read": 1_250 + span, "rows_train": 950, "rows_val": 50, "rows_test": self._test_rows}
            found: dict[str, Any] = counts | {"rows_quarantined": span % 3, "duplicates": 0, "synthetic": 1}
            if role == "examples":
                found |= {"span": span, "source": "simulated rows", "input_fingerprint": f"files:{run}"}
            return str(files / role), found
        if role == "schema":
            Path(uri).mkdir(parents=True)
            shutil.copy(SCHEMA_PATH, uri)
        if role == "model" and self._exports:
            export = Path(uri) / "Format-Serving"
            export.mkdir(parents=True)
            (export / SAVED_MODEL).write_bytes(_content(run))
        if role == "blessing":
            compared = {"baseline_model_id": made["baseline"]} if "baseline" in made else {}
            return uri, {"blessed": int(outcome.blessed), "current_model_id": made["model"], **compared}
        if role == "infra_blessing":
            return uri, {"blessed": 1}
        if role == "model_card":
            files = self.root / f"card-{run % self._files}"
            if not files.exists():
                write_card_files(files, self._random, made, made.get("baseline"), run, self.root / "data-0")
            accuracy = self._random.uniform(0.88, 0.93)
            recalls = {f"recall_{name}": accuracy + self._random.uniform(-0.05, 0.05) for name in CLASS_NAMES}
            bound = {"model_id": made["model"], "model_sha256": digest, JUDGED: digest}
            return str(files), {"accuracy": accuracy, **recalls, **bound}
        if role == "request":
            wanted = {"model_id": made["model"], "wanted": int(outcome.blessed)}
            return uri, wanted | {"fingerprint": digest, "author": AUTHOR}
        if role == "approval":
            return uri, {"approved": int(outcome.decision is True), "reason": ""}
        if role == "pushed_model":
            if not (outcome.blessed and outcome.decision):
                return uri, {"pushed": 0}
            version = 1_700_000_000 + run
            self.pushed.append((version, made["model"]))
            return uri, {"pushed": 1, "pushed_version": str(version), "fingerprint": digest}
        return uri, {}

    def _decide(self, model: int, run: int, approved: bool) -> None:
        pipeline = self._context(PIPELINE_CONTEXT, "agnews")
        execution = self._execution(DECISION_EXECUTION, mlmd.Execution.COMPLETE, [pipeline])
        self._event(execution, model, "model", mlmd.Event.INPUT)
        properties = {
            "fingerprint": _fingerprint(run),
            "approved": int(approved),
            "who": APPROVER,
            "when": "2026-01-02T03:04:05.678+00:00",
            "why": "the evidence%2C as it is",
        }
        self._event(execution, self._artifact(APPROVAL_DECISION, "", properties), "decision", mlmd.Event.OUTPUT)

    def _artifact(self, kind: str, uri: str, properties: dict[str, Any]) -> int:
        type_id = self._type(kind, lambda: self.store.put_artifact_type(mlmd.ArtifactType(name=kind)))
        artifact = mlmd.Artifact(type_id=type_id, uri=uri, state=mlmd.Artifact.LIVE)
        for name, value in properties.items():
            field = {int: "int_value", float: "double_value", str: "string_value"}[type(value)]
            setattr(artifact.custom_properties[name], field, value)
        self._new_artifacts.append(artifact)
        self._artifacts += 1
        return self._artifacts

    def _execution(self, kind: str, state: "mlmd.Execution.State", contexts: list[int]) -> int:
        type_id = self._type(kind, lambda: self.store.put_execution_type(mlmd.ExecutionType(name=kind)))
        self._new_executions.append(mlmd.Execution(type_id=type_id, last_known_state=state))
        self._executions += 1
        execution = self._executions
        self._associations += [mlmd.Association(execution_id=execution, context_id=context) for context in contexts]
        return execution

    def _event(self, execution: int, artifact: int, role: str, kind: "mlmd.Event.Type") -> None:
        path = mlmd.Event.Path(steps=[{"key": role}, {"index": 0}])
        self._new_events.append(mlmd.Event(execution_id=execution, artifact_id=artifact, type=kind, path=path))

    def _type(self, name: str, put: Any) -> int:
        if name not in self._types:
            self._types[name] = put()
        return self._types[name]

    def _context(self, kind: str, name: str) -> int:
        if name not in self._contexts:
            type_id = self._type(f"context {kind}", lambda: self.store.put_context_type(mlmd.ContextType(name=kind)))
            [self._contexts[name]] = self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
        return self._contexts[name]


def _file(path: Path) -> mlmd.ConnectionConfig:
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return connection


def _content(run: int) -> bytes:
    return b"graph %d" % run


def _fingerprint(run: int) -> str:
    return fingerprint({SAVED_MODEL: hashlib.sha256(_content(run)).hexdigest()})
