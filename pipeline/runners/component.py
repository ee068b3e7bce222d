"""Runs one component of a run with TFX's launcher, for every orchestrator and on any metadata store.

TFX relies on two properties of SQLite that PostgreSQL does not have: queries by id return results in the order of the
ids, and texts with a backslash can be written. Also, TFX's cache accepts an output if its directory exists, even if
files in it were deleted or changed. This module fixes all three.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from ml_metadata.errors import StatusError
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.compiler.constants import PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Artifact, artifact_utils

from components.approval import Status
from components.artifact_files import missing_file
from components.example_gen.sources import DataSource
from pipeline.beam.job_servers import stop_job_servers_on_exit
from pipeline.dag import create_pipeline
from pipeline.governance.approvals import REQUEST, Approvals
from pipeline.governance.audit_check import audit_log
from pipeline.graphs import remove_implied_arrows
from pipeline.metadata.connection import connection_config, open_store
from pipeline.metadata.graph import run_outputs
from pipeline.metadata.runs import (
    close_killed_executions,
    component_executions,
    finished_components,
    is_finished,
    note_failure,
    note_graph,
)
from pipeline.runners.events import State
from pipeline.runners.logs import root_cause_line
from pipeline.runners.preflight import expected_source, prepare, resolve_source
from pipeline.runners.run_id import PREFIX
from pipeline.settings import Settings
from schema.errors import (
    AgNewsError,
    ApprovalPending,
    NothingToTrain,
    RunError,
    SettingsError,
    StoreError,
    component_status,
    suggestion,
)
from schema.interruption import interruptible

logger = logging.getLogger(__name__)

_LONGEST_RUN_ID = 250


@dataclass(frozen=True)
class ComponentResult:
    """How a component ended.

    Attributes:
        execution: the published execution.
        repeated: the component had finished in this run before, so nothing was done.
    """

    execution: mlmd.Execution
    repeated: bool = False

    @property
    def state(self) -> State:
        """Whether the outputs were made or taken from the cache."""
        return State.CACHED if self.execution.last_known_state == mlmd.Execution.CACHED else State.DONE


def compile_run(pipeline: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline for the run with this name."""
    ir = Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    return ir


def component_ids(pipeline: Pipeline) -> list[str]:
    """Returns the ids of a pipeline's components in execution order."""
    return [component.id for component in pipeline.components]


def upstream_components(ir: pipeline_pb2.Pipeline) -> dict[str, list[str]]:
    """Returns the components in execution order, each with those that it waits for.

    All others wait for the first one, which begins the run and makes the checks. What other arrows imply is left out,
    so that orchestrators, displays and pictures have the same, small graph.
    """
    names = [node.pipeline_node.node_info.id for node in ir.nodes]
    arrows = _data_arrows(ir) | set(control_arrows(ir))
    return {end: [start for start in names if (start, end) in arrows] for end in names}


def control_arrows(ir: pipeline_pb2.Pipeline) -> list[tuple[str, str]]:
    """Returns the pairs of components of which the second waits for the first without reading outputs on the way."""
    nodes = [node.pipeline_node for node in ir.nodes]
    first = nodes[0].node_info.id
    waits = {(start, node.node_info.id) for node in nodes for start in (first, *node.upstream_nodes)} - {(first, first)}
    return sorted(remove_implied_arrows(waits) - _data_arrows(ir))


def _data_arrows(ir: pipeline_pb2.Pipeline) -> frozenset[tuple[str, str]]:
    """Returns the pairs of components of which the second reads outputs of the first, without implied ones."""
    return remove_implied_arrows(
        {
            (channel.producer_node_query.id, node.pipeline_node.node_info.id)
            for node in ir.nodes
            for spec in node.pipeline_node.inputs.inputs.values()
            for channel in spec.channels
            if channel.producer_node_query.id
        }
    )


def run_status(error: Exception) -> int:
    """Returns the exit status of `agnews run` after an error of a component."""
    return error.exit_code if isinstance(error, AgNewsError) else RunError.exit_code


def run_component(
    ir: pipeline_pb2.Pipeline,
    component: str,
    connection: mlmd.ConnectionConfig,
    log: str = "",
    status_of: Callable[[Exception], int] = run_status,
) -> ComponentResult:
    """Runs one component in this process, unless it has finished in this run before.

    Args:
        ir: the pipeline that `compile_run` compiled.
        component: id of the component.
        connection: the metadata store.
        log: where people find the log of the run; stored with an execution that fails.
        status_of: returns the exit status of the command after an error; stored, too.

    Raises:
        NothingToTrain: the span is empty.
        ApprovalPending: the model needs an approval.
        AgNewsError: the component rejected its input. The message starts with the component's id.
        RunError: a required input does not exist.
        Interrupted: a signal interrupted the process, even if the component suppressed the exception. Nothing is
            published then.
    """
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    store = open_store(connection)
    try:
        note_graph(store, run_id, upstream_components(ir), control_arrows(ir))
    except StatusError as problem:  # Only a picture needs it.
        logger.warning("the graph of the run cannot be stored", extra={"fields": {"error": str(problem)}})
    for execution in component_executions(store, run_id, component):
        if is_finished(execution):
            return ComponentResult(execution, repeated=True)
    try:
        with interruptible():
            execution = _launch(ir, component, connection)
    except (ApprovalPending, NothingToTrain):
        raise
    except AgNewsError as error:
        _note_failure(connection, run_id, component, str(error), status_of(error), log)
        raise type(error)(f"{component}: {error}") from error
    except Exception as error:
        cause = f"{type(error).__name__}: {root_cause_line(error)}"
        _note_failure(connection, run_id, component, cause, status_of(error), log)
        raise
    # If an input does not exist, the launcher publishes a failed execution and returns.
    if execution.last_known_state == mlmd.Execution.FAILED:
        missing = RunError(f"{component} failed: an input that it needs does not exist")
        _note_failure(connection, run_id, component, str(missing), status_of(missing), log)
        raise missing
    return ComponentResult(execution)


def _note_failure(
    connection: mlmd.ConnectionConfig, run_id: str, component: str, error: str, status: int, log: str
) -> None:
    try:
        note_failure(open_store(connection), run_id, component, error, status, log)
    except (StatusError, StoreError) as problem:  # It must not replace the error of the component.
        logger.warning("the reason of the failure cannot be stored", extra={"fields": {"error": str(problem)}})


def run_component_of(
    settings: Settings,
    component: str,
    run_id: str,
    resolve: Callable[[Settings], DataSource] = resolve_source,
    log: str = "",
) -> ComponentResult:
    """Runs one component of the settings' pipeline, as the step of a run that an orchestrator starts.

    The process may be killed, and the same call made again: the executions that this component left in this run are
    closed first. The first component of a run makes the checks that `agnews run` makes.

    Args:
        settings: all settings, the same for each component of the run.
        component: id of the component.
        run_id: name of the run in the metadata store.
        resolve: finds the data; called for the first component only.
        log: where people find the log; stored with an execution that fails.

    Raises:
        SettingsError: the pipeline has no such component, or a check failed.
        AgNewsError: see `run_component`.
    """
    _check_run_id(run_id)
    pipeline = create_pipeline(settings, expected_source(settings))
    components = component_ids(pipeline)
    if component not in components:
        hint = suggestion(component, components, f"there are: {', '.join(components)}")
        raise SettingsError(f"the pipeline of these settings has no component {component!r}; {hint}")
    if component == components[0]:
        pipeline = create_pipeline(settings, prepare(settings, resolve))
    ir = compile_run(pipeline, run_id)
    connection = connection_config(settings)
    store, root = open_store(connection), ir.runtime_spec.pipeline_root.field_value.string_value
    close_killed_executions(store, component_executions(store, run_id, component), root)
    # Beam stops its job servers in exit handlers only.
    with stop_job_servers_on_exit():
        return run_component(ir, component, connection, log, component_status)


def _check_run_id(run_id: str) -> None:
    if not run_id.isprintable() or not 0 < len(run_id) <= _LONGEST_RUN_ID or "\\" in run_id:
        raise SettingsError(f"--run {run_id!r}: expected up to {_LONGEST_RUN_ID} printable characters, no backslash")
    if run_id.startswith(PREFIX):
        raise SettingsError(f"--run {run_id}: names that start with {PREFIX} are those of agnews run; take another one")


def awaited_approval(settings: Settings, run_id: str) -> str | None:
    """Returns a message with the status of a run's request and the next command, or None if the run can continue.

    Args:
        settings: settings with the metadata store, the audit log and the approval rules.
        run_id: name of the run in the metadata store.
    """
    store = open_store(connection_config(settings))
    artifact = run_outputs(store, run_id)[REQUEST, "request"]
    model_id = artifact.custom_properties["model_id"].int_value
    for request in Approvals(store, settings, audit_log(settings)).requests(datetime.now(UTC)):
        if request.model_id == model_id and request.status in (Status.PENDING, Status.EXPIRED):
            return f"{request.status}: agnews approvals approve {model_id} --reason … (or reject)"
    return None


def note_end(settings: Settings, run_id: str, component: str, error: Exception) -> bool:
    """Notes why a component ended its run, and returns whether this is new: an orchestrator may try again."""
    directory = _notes(settings, run_id)
    note = os.path.join(directory, hashlib.sha256(f"{component} {error}".encode()).hexdigest()[:16])
    if fileio.exists(note):
        return False
    fileio.makedirs(directory)
    with fileio.open(note, "w") as file:
        file.write(f"{component}: {type(error).__name__}")
    return True


def unexplained_end(settings: Settings, run_id: str) -> str | None:
    """Returns the first component that has not finished in a run, or None if it is noted why, or all have finished."""
    if fileio.exists(_notes(settings, run_id)):
        return None
    finished = finished_components(open_store(connection_config(settings)), run_id)
    components = component_ids(create_pipeline(settings, expected_source(settings)))
    return next((component for component in components if component not in finished), None)


def _notes(settings: Settings, run_id: str) -> str:
    return os.path.join(settings.pipeline.root, "ended", hashlib.sha256(run_id.encode()).hexdigest()[:16])


def _launch(ir: pipeline_pb2.Pipeline, component: str, connection: mlmd.ConnectionConfig) -> mlmd.Execution:
    [node] = [node.pipeline_node for node in ir.nodes if node.pipeline_node.node_info.id == component]
    deployment = runner_utils.extract_local_deployment_config(ir)
    execution = _Launcher(
        pipeline_node=node,
        mlmd_connection=_Connection(connection),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, component),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, component),
    ).launch()
    with _Connection(connection) as store:
        [published] = store.store.get_executions_by_id([execution.execution_id])
    return published


def _verify_cached(outputs: dict[str, list[Artifact]]) -> None:
    """Raises RuntimeError if an output is not as it was made; the cache then tries earlier ones with the same key."""
    for artifact in chain.from_iterable(outputs.values()):
        if missing := missing_file(artifact):
            logger.warning(
                f"the cached {artifact.type_name} {artifact.id} is not used: {missing} is gone or was changed"
            )
            raise RuntimeError(f"{missing} is gone or was changed")


# TFX has no extension point for this: tfx/orchestration/portable/cache_utils.py calls the function through its module.
artifact_utils.verify_artifacts = _verify_cached


class _Connection(metadata.Metadata):
    """TFX's connection, but it waits for a locked store for a limited time, and keeps the order of ids in queries.

    TFX's cache pairs a component's outputs with their keys by position (tfx/orchestration/portable/cache_utils.py).
    PostgreSQL returns artifacts grouped by type, so a cached output would get the key of another one.
    """

    def __enter__(self) -> "_Connection":
        self._store = open_store(self._connection_config)
        self._users += 1
        for query in ("get_artifacts_by_id", "get_artifact_types_by_id"):
            setattr(self._store, query, _in_order(getattr(self._store, query)))
        return self


def _in_order(query: Callable[..., list]) -> Callable[..., list]:
    def ordered(ids: Iterable[int], *arguments: Any, **options: Any) -> list:
        ids = list(ids)
        found = {one.id: one for one in query(ids, *arguments, **options)}
        return [found[one] for one in ids if one in found]

    return ordered


class _Launcher(launcher.Launcher):
    """TFX's launcher, but each try has its own execution, and interrupted outputs and traces are not published.

    For a second try in a run, TFX's launcher would reuse the execution of the first one, with its properties and its
    directories. The outputs of an executor that suppresses an interrupt may be incomplete, and the next run would take
    them from the cache. A trace, which is also in the log, contains backslashes. ML Metadata 1.21 writes them into
    PostgreSQL with a syntax error, which would replace the original error.
    """

    def _register_or_reuse_execution(self, metadata_handle, contexts, input_artifacts=None, exec_properties=None):
        return launcher._register_execution(
            metadata_handle=metadata_handle,
            execution_type=self._pipeline_node.node_info.type,
            contexts=contexts,
            input_artifacts=input_artifacts,
            exec_properties=exec_properties,
        )

    def _run_executor(self, execution_info):
        with interruptible():
            return super()._run_executor(execution_info)

    def _publish_failed_execution(self, execution_id, contexts, executor_output=None) -> None:
        super()._publish_failed_execution(execution_id, contexts)
