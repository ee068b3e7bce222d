"""Reads a run back from the metadata store: what came in, how good the model is, and where it went."""

from dataclasses import dataclass
from urllib.parse import unquote

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.approval import Approval
from components.evaluator.report import EvaluationReport, read_report
from components.validation_gate.component import Drift, ValidationBlessing, read_drift
from pipeline.metadata.connection import open_store

_RUN_CONTEXT = "pipeline_run"


@dataclass(frozen=True)
class RunSummary:
    """A run as its reader sees it; what the run did not reach is None.

    Attributes:
        ingestion: properties of the Examples artifact: rows read, written, quarantined, duplicates, source, span.
        evaluation: metrics, baseline and missed thresholds.
        baseline_model: id of the model it was compared with.
        blessed: the Evaluator's verdict.
        infra_blessed: the InfraValidator's verdict, and its reason when it refused.
        rejected: who rejected it and why, when somebody did.
        pushed_to: the version's directory, when one was pushed.
        window: the spans that trained.
        trained_in: the run that made the model; another than this one, when nothing was new.
        ended_in: the run whose Pusher came to this outcome; another than this one, when no verdict was new.
        compared_with: the spans that the rows were compared with.
        drift: how far they are from these.
        waiting: what is to be done before the run can go on, as its runner says.
        skipped: why there was nothing to do, as its runner says.
    """

    ingestion: dict[str, object] | None
    evaluation: EvaluationReport | None
    baseline_model: int | None
    blessed: bool | None
    infra_blessed: bool | None
    infra_reason: str | None
    rejected: str | None
    pushed_to: str | None
    window: list[int]
    trained_in: str | None
    ended_in: str | None
    compared_with: list[int]
    drift: list[Drift]
    waiting: str | None = None
    skipped: str | None = None

    @property
    def refusals(self) -> list[str]:
        """Why the model was not pushed: at least one reason where it was not, none where it was or may still be."""
        if self.pushed_to or self.waiting or self.skipped:
            return []
        reasons = []
        if self.blessed is False:
            found = self.evaluation.refusals if self.evaluation else []
            reasons += [f"not blessed: {reason}" for reason in found or ["the Evaluator gave no reason: see the log"]]
        if self.infra_blessed is False:
            reasons.append(f"InfraValidator refused it: {self.infra_reason or 'it gave no reason: see the log'}")
        if self.rejected:
            reasons.append(f"rejected by {self.rejected}")
        return reasons or ["no component says why: see the log"]

    def is_new_refusal(self, run_id: str) -> bool:
        """Whether the run `run_id` itself came to the outcome that its model is not pushed."""
        return bool(self.refusals) and self.ended_in == run_id


def summarize(connection: mlmd.ConnectionConfig, run_id: str) -> RunSummary:
    """Summarizes a run.

    Args:
        connection: the metadata store.
        run_id: the run's name.

    Raises:
        LookupError: the store has no such run.
    """
    store = open_store(connection)
    context = _run_context(store, run_id)
    outputs = _outputs_by_type(store, context.id)
    examples, evaluation = outputs.get("Examples"), outputs.get("ModelEvaluation")
    blessing, infra, pushed = (outputs.get(name) for name in ("ModelBlessing", "InfraBlessing", "PushedModel"))
    approval, accepted = (outputs.get(name) for name in (Approval.TYPE_NAME, ValidationBlessing.TYPE_NAME))
    compared_with, drift = read_drift(accepted.uri) if accepted else ([], [])
    was_pushed = pushed is not None and _property(pushed, "pushed") == 1
    return RunSummary(
        ingestion=_properties(examples) if examples else None,
        evaluation=read_report(evaluation.uri) if evaluation else None,
        baseline_model=_property(blessing, "baseline_model_id") if blessing else None,
        blessed=_property(blessing, "blessed") == 1 if blessing else None,
        infra_blessed=_property(infra, "blessed") == 1 if infra else None,
        infra_reason=_property(infra, "reason") if infra else None,
        rejected=unquote(_property(approval, "reason") or "") or None if approval else None,
        pushed_to=_property(pushed, "pushed_destination") if was_pushed else None,
        window=_window(store, outputs["TransformGraph"]) if "TransformGraph" in outputs else [],
        trained_in=_made_in(store, outputs["Model"]) if "Model" in outputs else None,
        ended_in=_made_in(store, pushed) if pushed else None,
        compared_with=compared_with,
        drift=drift,
    )


def run_outputs(store: metadata_store.MetadataStore, run_id: str) -> dict[tuple[str, str], str]:
    """Where a run's outputs lie, made by it or taken from the cache: URIs by component's id and output's name.

    Raises:
        LookupError: the store has no such run.
    """
    executions = store.get_executions_by_context(_run_context(store, run_id).id)
    components = {execution.id: _component(store, execution.id) for execution in executions}
    outputs = {}
    for event in store.get_events_by_execution_ids(list(components)):
        if event.type == mlmd.Event.OUTPUT:
            [artifact] = store.get_artifacts_by_id([event.artifact_id])
            outputs[components[event.execution_id], event.path.steps[0].key] = artifact.uri
    return outputs


def _run_context(store: metadata_store.MetadataStore, run_id: str) -> mlmd.Context:
    context = store.get_context_by_type_and_name(_RUN_CONTEXT, run_id)
    if context is None:
        raise LookupError(f"no run {run_id!r} in the metadata store")
    return context


def _window(store: metadata_store.MetadataStore, graph: mlmd.Artifact) -> list[int]:
    """The spans of the Examples that Transform learned from."""
    events = store.get_events_by_execution_ids([_maker(store, graph)])
    inputs = store.get_artifacts_by_id([event.artifact_id for event in events if event.type == mlmd.Event.INPUT])
    return sorted(artifact.custom_properties["span"].int_value for artifact in inputs if artifact.type == "Examples")


def _made_in(store: metadata_store.MetadataStore, artifact: mlmd.Artifact) -> str:
    """The run that made the artifact, not one that took it from the cache."""
    contexts = store.get_contexts_by_execution(_maker(store, artifact))
    return next(context.name for context in contexts if context.type == _RUN_CONTEXT)


def _maker(store: metadata_store.MetadataStore, artifact: mlmd.Artifact) -> int:
    events = store.get_events_by_artifact_ids([artifact.id])
    return min(event.execution_id for event in events if event.type == mlmd.Event.OUTPUT)


def _component(store: metadata_store.MetadataStore, execution_id: int) -> str:
    """A node's context is named by pipeline and component."""
    [node] = [context for context in store.get_contexts_by_execution(execution_id) if context.type == "node"]
    return node.name.rpartition(".")[2]


def _outputs_by_type(store: metadata_store.MetadataStore, context_id: int) -> dict[str, mlmd.Artifact]:
    """The run's output artifacts by type name; the first of a type, since Transform also writes Examples."""
    executions = sorted(store.get_executions_by_context(context_id), key=lambda execution: execution.id)
    events = store.get_events_by_execution_ids([execution.id for execution in executions])
    produced = {event.artifact_id: event.execution_id for event in events if event.type == mlmd.Event.OUTPUT}
    artifacts = sorted(store.get_artifacts_by_id(list(produced)), key=lambda artifact: produced[artifact.id])
    by_type: dict[str, mlmd.Artifact] = {}
    for artifact in artifacts:
        if artifact.state == mlmd.Artifact.LIVE:
            by_type.setdefault(artifact.type, artifact)
    return by_type


def _properties(artifact: mlmd.Artifact) -> dict[str, object]:
    merged = dict(artifact.properties) | dict(artifact.custom_properties)
    return {name: _unwrap(value) for name, value in merged.items()}


def _property(artifact: mlmd.Artifact, name: str):
    return _properties(artifact).get(name)


def _unwrap(value: mlmd.Value) -> object:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
