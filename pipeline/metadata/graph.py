"""Queries of ML Metadata: executions, their contexts, and the artifacts that they read and made."""

from collections.abc import Iterable, Sequence
from typing import Any

from ml_metadata import errors
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from schema.metadata import NODE_CONTEXT, PIPELINE_CONTEXT, REMOVED_ON, RUN_CONTEXT


def properties(record: mlmd.Artifact | mlmd.Execution) -> dict[str, Any]:
    """Returns the properties and custom properties of an artifact or execution by name, sorted by name.

    Protocol Buffers keep no order, and each process has another one.
    """
    merged = sorted((dict(record.properties) | dict(record.custom_properties)).items())
    return {name: getattr(value, kind) if (kind := value.WhichOneof("value")) else None for name, value in merged}


def by_path(events: Iterable[mlmd.Event]) -> list[mlmd.Event]:
    """Returns events sorted by the name of their input or output and the position in it.

    ML Metadata stores them in the order in which Protocol Buffers list them.
    """
    return sorted(events, key=lambda event: [(step.key, step.index) for step in event.path.steps])


def is_live(artifact: mlmd.Artifact) -> bool:
    """Returns whether an artifact was published and not deleted."""
    return artifact.state == mlmd.Artifact.LIVE


def removed_on(artifact: mlmd.Artifact) -> str:
    """Returns ", removed on DATE" if `agnews clean` removed the files of an artifact, otherwise an empty text."""
    date = artifact.custom_properties[REMOVED_ON].string_value if REMOVED_ON in artifact.custom_properties else ""
    return f", removed on {date}" if date else ""


def live_artifacts(store: MetadataStore, type_name: str) -> list[mlmd.Artifact]:
    """Returns the live artifacts of a type, oldest first."""
    return sorted(filter(is_live, store.get_artifacts_by_type(type_name)), key=lambda artifact: artifact.id)


def pipeline_artifacts(store: MetadataStore, pipeline: str, type_name: str) -> list[mlmd.Artifact]:
    """Returns the artifacts that the resolvers of a pipeline find: live outputs of its executions, oldest first.

    Args:
        store: the metadata store, which other pipelines may use as well.
        pipeline: name of the pipeline.
        type_name: name of the artifact type.
    """
    context = store.get_context_by_type_and_name(PIPELINE_CONTEXT, pipeline)
    found = {artifact.id: artifact for artifact in live_artifacts(store, type_name)}
    if context is None or not found:
        return []
    events = [one for one in store.get_events_by_artifact_ids(list(found)) if one.type == mlmd.Event.OUTPUT]
    # The executions of 2,000 runs take a second to load, which a store of a single pipeline need not spend. To look up
    # the contexts of each execution takes longer: ML Metadata has no index for them and reads all associations.
    if len(store.get_contexts_by_type(PIPELINE_CONTEXT)) > 1:
        executions = {one.id for one in store.get_executions_by_context(context.id)}
        events = [one for one in events if one.execution_id in executions]
    return [found[artifact] for artifact in sorted({event.artifact_id for event in events})]


def require_run(store: MetadataStore, run_id: str) -> mlmd.Context:
    """Returns the context of a run.

    Raises:
        LookupError: the store has no such run.
    """
    context = store.get_context_by_type_and_name(RUN_CONTEXT, run_id)
    if context is None:
        raise LookupError(f"no run {run_id!r} in the metadata store")
    return context


def find_run(store: MetadataStore, execution: int) -> mlmd.Context | None:
    """Returns the context of an execution's run, or None outside of runs."""
    return next((context for context in _contexts(store, execution) if context.type == RUN_CONTEXT), None)


def component_id(store: MetadataStore, execution: int) -> str:
    """Returns the id of an execution's component, empty outside of runs.

    TFX names the context by pipeline and component.
    """
    nodes = (one.name for one in _contexts(store, execution) if one.type == NODE_CONTEXT)
    return next(nodes, "").rpartition(".")[2]


def find_producers(store: MetadataStore, artifacts: Sequence[int]) -> dict[int, int]:
    """Returns the id of the execution that made each artifact, by the artifact's id.

    Executions that took the artifact from the cache have it as an output as well. They came later.
    """
    events = store.get_events_by_artifact_ids(artifacts) if artifacts else []
    made = [(event.execution_id, event.artifact_id) for event in events if event.type == mlmd.Event.OUTPUT]
    return {artifact: execution for execution, artifact in sorted(made, reverse=True)}


def find_producer(store: MetadataStore, artifact: int) -> int | None:
    """Returns the id of the execution that made an artifact."""
    return find_producers(store, [artifact]).get(artifact)


def execution_inputs(store: MetadataStore, execution: int) -> dict[str, tuple[mlmd.Artifact, ...]]:
    """Returns the input artifacts of an execution by input name."""
    events = by_path(one for one in store.get_events_by_execution_ids([execution]) if one.type == mlmd.Event.INPUT)
    artifacts = _artifacts(store, events)
    inputs: dict[str, tuple[mlmd.Artifact, ...]] = {}
    for event in events:
        name = event.path.steps[0].key
        inputs[name] = (*inputs.get(name, ()), artifacts[event.artifact_id])
    return inputs


def run_artifacts(store: MetadataStore, run: mlmd.Context) -> list[mlmd.Artifact]:
    """Returns all outputs of a run, made by it or taken from the cache, in the order of its executions.

    They include artifacts that are marked as deleted: their properties are still known.
    """
    executions = sorted(execution.id for execution in store.get_executions_by_context(run.id))
    events = _output_events(store, executions)
    artifacts = _artifacts(store, events)
    return [artifacts[event.artifact_id] for event in events]


def run_outputs(store: MetadataStore, run_id: str) -> dict[tuple[str, str], mlmd.Artifact]:
    """Returns the live outputs of a run, made by it or taken from the cache, by component id and output name.

    Raises:
        LookupError: the store has no such run.
    """
    executions = sorted(one.id for one in store.get_executions_by_context(require_run(store, run_id).id))
    components = {execution: component_id(store, execution) for execution in executions}
    events = _output_events(store, executions)
    artifacts = _artifacts(store, events)
    return {
        (components[event.execution_id], event.path.steps[0].key): one
        for event in events
        if is_live(one := artifacts[event.artifact_id])
    }


def made_from(store: MetadataStore, artifact: int, input_name: str = "") -> list[mlmd.Artifact]:
    """Returns the live outputs of the executions that read an artifact, oldest first.

    Args:
        store: the metadata store.
        artifact: id of the artifact.
        input_name: the input that the artifact must have been. Defaults to any.
    """
    events = [one for one in store.get_events_by_artifact_ids([artifact]) if one.type == mlmd.Event.INPUT]
    readers = [event.execution_id for event in events if input_name in ("", event.path.steps[0].key)]
    artifacts = _artifacts(store, _output_events(store, readers))
    return [artifacts[one] for one in sorted(artifacts) if is_live(artifacts[one])]


def _contexts(store: MetadataStore, execution: int) -> list[mlmd.Context]:
    try:
        return store.get_contexts_by_execution(execution)
    except errors.NotFoundError:
        return []


def _output_events(store: MetadataStore, executions: Sequence[int]) -> list[mlmd.Event]:
    """Returns the events of outputs in the order of the executions; ML Metadata refuses an empty list of ids."""
    events = by_path(store.get_events_by_execution_ids(executions)) if executions else []
    return sorted((one for one in events if one.type == mlmd.Event.OUTPUT), key=lambda event: event.execution_id)


def _artifacts(store: MetadataStore, events: Iterable[mlmd.Event]) -> dict[int, mlmd.Artifact]:
    """Returns the artifacts of events by id."""
    ids = {event.artifact_id for event in events}
    return {artifact.id: artifact for artifact in store.get_artifacts_by_id(ids)} if ids else {}
