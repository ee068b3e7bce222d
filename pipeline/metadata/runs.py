"""Summarizes runs, and cleans up after killed ones."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.io import fileio

from components.evaluator.report import EvaluationReport, read_report
from components.manifest import EXPORT
from components.validation_gate.component import Drift, read_drift
from pipeline.alerts import Event, Kind
from pipeline.metadata.connection import open_store
from pipeline.metadata.graph import (
    component_id,
    execution_inputs,
    find_producer,
    find_run,
    is_live,
    properties,
    require_run,
    run_artifacts,
)
from schema.metadata import (
    APPROVAL,
    EVALUATION,
    EXAMPLES,
    FAILURE,
    FAILURE_LOG,
    FAILURE_STATUS,
    GRAPH,
    INFRA_BLESSING,
    MODEL,
    MODEL_BLESSING,
    PIPELINE_CONTEXT,
    PUSHED_MODEL,
    RUN_CONTEXT,
    TRANSFORM_GRAPH,
    VALIDATION_BLESSING,
    decode_text,
    encode_text,
)
from schema.model_contract import TRAINING_FACTS

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 4000


@dataclass(frozen=True)
class RunSummary:
    """The results of a run. Results that the run did not reach are None.

    Attributes:
        ingestion: properties of the Examples artifact: rows read, written, quarantined, duplicates, source, span.
        evaluation: metrics, baseline and missed thresholds.
        baseline_model: id of the model that it was compared with.
        blessed: Evaluator's blessing.
        infra_blessed: InfraValidator's blessing.
        infra_reason: InfraValidator's reason if it did not bless the model.
        rejected: who rejected the model, and why.
        pushed_to: directory of the pushed version.
        window: spans that the model was trained on.
        trained_in: name of the run that made the model: an earlier one if nothing was new.
        model_id: id of the model that the run trained or took from the cache.
        ended_in: name of the run whose Pusher made this outcome: an earlier one if no verdict was new.
        compared_with: spans that the rows were compared with.
        drift: distances of the rows from those spans.
        waiting: what the run waits for, as its runner reports it.
        skipped: why the run had nothing to do, as its runner reports it.
        not_calibrated: why the model's probabilities are not calibrated; None if they are.
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
    model_id: int | None
    ended_in: str | None
    compared_with: list[int]
    drift: list[Drift]
    waiting: str | None = None
    skipped: str | None = None
    not_calibrated: str | None = None

    @property
    def refusals(self) -> list[str]:
        """The reasons why the model was not pushed: at least one, unless the model was pushed or may still be."""
        if self.pushed_to or self.waiting or self.skipped:
            return []
        reasons = []
        if self.blessed is False:
            found = self.evaluation.refusals if self.evaluation else []
            reasons += [f"not blessed: {reason}" for reason in found or ["Evaluator gave no reason, see the log"]]
        if self.infra_blessed is False:
            reasons.append(f"not blessed by InfraValidator: {self.infra_reason or 'it gave no reason, see the log'}")
        if self.rejected:
            reasons.append(f"rejected by {self.rejected}")
        return reasons or ["no component gave a reason, see the log"]

    def event(self, run_id: str, log: str) -> Event | None:
        """Returns the outcome of run `run_id` as an event, or None if the outcome is that of an earlier run.

        Args:
            run_id: name of the run.
            log: path of the run's log.
        """
        if self.waiting:
            return Event(Kind.WAITING, run_id, self.waiting, log, self.model_id)
        if self.ended_in != run_id or self.skipped:
            return None
        if self.pushed_to:
            return Event(
                Kind.PUSHED,
                run_id,
                f"version {self.pushed_to.rpartition('/')[2]}: {self.pushed_to}",
                log,
                self.model_id,
            )
        return Event(Kind.NOT_BLESSED, run_id, "\n".join(self.refusals), log, self.model_id)


def summarize(connection: mlmd.ConnectionConfig, run_id: str) -> RunSummary:
    """Summarizes a run.

    Args:
        connection: the metadata store.
        run_id: name of the run.

    Raises:
        LookupError: the store has no such run.
    """
    store = open_store(connection)
    outputs: dict[str, mlmd.Artifact] = {}
    # The first artifact of a type: Transform writes Examples as well.
    for artifact in filter(is_live, run_artifacts(store, require_run(store, run_id))):
        outputs.setdefault(artifact.type, artifact)
    found = {type_name: properties(artifact) for type_name, artifact in outputs.items()}
    blessing, infra, pushed = (found.get(name) for name in (MODEL_BLESSING, INFRA_BLESSING, PUSHED_MODEL))
    accepted, evaluation = outputs.get(VALIDATION_BLESSING), outputs.get(EVALUATION)
    compared_with, drift = read_drift(accepted.uri) if accepted else ([], [])
    model = outputs.get(MODEL)
    return RunSummary(
        ingestion=found.get(EXAMPLES),
        evaluation=read_report(evaluation.uri) if evaluation else None,
        baseline_model=blessing.get("baseline_model_id") if blessing else None,
        blessed=blessing.get("blessed") == 1 if blessing else None,
        infra_blessed=infra.get("blessed") == 1 if infra else None,
        infra_reason=infra.get("reason") if infra else None,
        rejected=decode_text(found.get(APPROVAL, {}).get("reason") or "") or None,
        pushed_to=pushed.get("pushed_destination") if pushed and pushed.get("pushed") == 1 else None,
        window=_window(store, outputs.get(TRANSFORM_GRAPH)),
        trained_in=_run_that_made(store, model),
        model_id=model.id if model else None,
        ended_in=_run_that_made(store, outputs.get(PUSHED_MODEL)),
        compared_with=compared_with,
        drift=drift,
        not_calibrated=_why_not_calibrated(model),
    )


def _why_not_calibrated(model: mlmd.Artifact | None) -> str | None:
    path = f"{model.uri}/{EXPORT}/{TRAINING_FACTS}" if model else ""
    if not (path and fileio.exists(path)):
        return None
    with fileio.open(path) as file:
        return json.load(file)["calibration"].get("not_learned")


def _window(store: MetadataStore, graph: mlmd.Artifact | None) -> list[int]:
    """Returns the spans of the Examples that Transform analyzed."""
    producer = find_producer(store, graph.id) if graph else None
    examples = execution_inputs(store, producer).get("examples", ()) if producer else ()
    return sorted(artifact.custom_properties["span"].int_value for artifact in examples)


def _run_that_made(store: MetadataStore, artifact: mlmd.Artifact | None) -> str | None:
    """Returns the name of the run that made an artifact, not of a run that took it from the cache."""
    producer = find_producer(store, artifact.id) if artifact else None
    run = find_run(store, producer) if producer else None
    return run.name if run else None


def component_executions(store: MetadataStore, run_id: str, component: str) -> list[mlmd.Execution]:
    """Returns the executions of a component in a run, oldest first: one per try."""
    executions = _executions(store, run_id)
    return sorted((one for one in executions if component_id(store, one.id) == component), key=lambda one: one.id)


def finished_components(store: MetadataStore, run_id: str) -> set[str]:
    """Returns the components that have finished in a run."""
    return {component_id(store, one.id) for one in _executions(store, run_id) if is_finished(one)}


def _executions(store: MetadataStore, run_id: str) -> list[mlmd.Execution]:
    run = store.get_context_by_type_and_name(RUN_CONTEXT, run_id)
    return store.get_executions_by_context(run.id) if run else []


def note_failure(store: MetadataStore, run_id: str, component: str, error: str, status: int, log: str) -> None:
    """Stores why a component failed with its last execution in a run, if that execution failed.

    Args:
        store: the metadata store.
        run_id: name of the run.
        component: id of the component.
        error: message for people; its end is left out if it is long.
        status: exit status of the command.
        log: where people find the log; empty if unknown.
    """
    *_, last = component_executions(store, run_id, component) or [None]
    if last is None or last.last_known_state != mlmd.Execution.FAILED:
        return
    last.custom_properties[FAILURE].string_value = encode_text(error[:_LONGEST_ERROR])
    last.custom_properties[FAILURE_STATUS].int_value = status
    last.custom_properties[FAILURE_LOG].string_value = encode_text(log)
    store.put_executions([last])


def note_graph(
    store: MetadataStore, run_id: str, upstream: Mapping[str, Sequence[str]], control: Sequence[tuple[str, str]]
) -> None:
    """Stores the graph of a run with the run, unless the run has not begun or its graph is stored.

    Args:
        store: the metadata store.
        run_id: name of the run.
        upstream: the components that each component waits for.
        control: pairs of components of which the second waits for the first without reading its outputs.
    """
    run = store.get_context_by_type_and_name(RUN_CONTEXT, run_id)
    if run is not None and GRAPH not in run.custom_properties:
        run.custom_properties[GRAPH].string_value = encode_text(json.dumps({"upstream": upstream, "control": control}))
        store.put_contexts([run])


def unfinished_executions(store: MetadataStore, pipeline: str, run_prefix: str) -> list[mlmd.Execution]:
    """Returns the unfinished executions of a pipeline in the runs whose names start with a prefix."""
    context = store.get_context_by_type_and_name(PIPELINE_CONTEXT, pipeline)
    executions = filter(_is_unfinished, store.get_executions_by_context(context.id) if context else [])
    return [one for one in executions if (run := find_run(store, one.id)) and run.name.startswith(run_prefix)]


def close_killed_executions(store: MetadataStore, executions: Iterable[mlmd.Execution], pipeline_root: str) -> None:
    """Cancels the executions that a killed process left as running, and deletes their unpublished outputs.

    Args:
        store: the metadata store.
        executions: executions, of which the finished ones are left alone. The caller makes sure that none is alive.
        pipeline_root: directory or URI of the pipeline's outputs.
    """
    for execution in filter(_is_unfinished, executions):
        component, run = component_id(store, execution.id), find_run(store, execution.id)
        logger.warning(
            "closing the killed execution %s of %s in run %s", execution.id, component, run.name if run else ""
        )
        execution.last_known_state = mlmd.Execution.CANCELED
        store.put_executions([execution])
        for directory in fileio.glob(f"{pipeline_root}/{component}/*/{execution.id}"):
            fileio.rmtree(directory)


def is_finished(execution: mlmd.Execution) -> bool:
    """Returns whether an execution has made its outputs, or taken them from the cache."""
    return execution.last_known_state in (mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)


def _is_unfinished(execution: mlmd.Execution) -> bool:
    return execution.last_known_state in (mlmd.Execution.NEW, mlmd.Execution.RUNNING)
