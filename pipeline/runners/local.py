"""Runs the pipeline in this process, component by component, and reports events to a watcher.

TFX's LocalDagRunner has no events and no states of skipped nodes, and does not clean up after killed runs.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from pipeline.metadata.connection import open_store
from pipeline.metadata.runs import close_killed_executions
from pipeline.runners import run_id as run_ids
from pipeline.runners.component import launch
from pipeline.runners.events import ComponentEvent, ProgressEvent, State, Watcher
from pipeline.runners.root_cause import root_cause_line
from schema.errors import AgNewsError, ApprovalPending, NothingToTrain, RunError
from schema.files import file_lock
from schema.interruption import Interrupted, raise_if_interrupted

logger = logging.getLogger(__name__)

_EXECUTION = metadata_store_pb2.Execution


def run(pipeline: Pipeline, run_id: str, root: Path, watcher: Watcher) -> None:
    """Runs every component in topological order; takes the outputs of unchanged components from the cache.

    Args:
        pipeline: the pipeline that `pipeline.dag.create_pipeline` built.
        run_id: name of this run in the metadata store.
        root: local directory, locked so that only one run at a time can use it.
        watcher: receives the events of the run.

    Raises:
        NothingToTrain: the span is empty.
        ApprovalPending: the model needs an approval; nothing was pushed, and a repeated run continues from there.
        RunError: a component failed, or another run has locked `root`.
        AgNewsError: a component rejected its input; the message is from the component.
        Interrupted: a signal interrupted the process; no further component is started.
    """
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    with _exclusive(root):
        info = pipeline.pipeline_info
        store = open_store(pipeline.metadata_connection_config)
        close_killed_executions(store, info.pipeline_name, info.pipeline_root, run_ids.PREFIX)
        nodes = [node.pipeline_node for node in ir.nodes]
        watcher.run_began({node.node_info.id: list(node.upstream_nodes) for node in nodes})
        for node in nodes:
            raise_if_interrupted()
            _run_component(ir, node, pipeline.metadata_connection_config, watcher)


def _run_component(
    ir: pipeline_pb2.Pipeline,
    node: pipeline_pb2.PipelineNode,
    connection: metadata_store_pb2.ConnectionConfig,
    watcher: Watcher,
) -> None:
    component = node.node_info.id
    began = time.monotonic()
    watcher.component_changed(ComponentEvent(component, State.RUNNING))

    def ended(state: State) -> None:
        watcher.component_changed(ComponentEvent(component, state, time.monotonic() - began))

    try:
        with reports_to(watcher, component):
            published = launch(ir, node, connection)
    except ApprovalPending:
        ended(State.WAITING)
        raise
    except NothingToTrain:
        ended(State.SKIPPED)
        raise
    except Interrupted:
        ended(State.STOPPED)
        raise
    except AgNewsError as error:
        ended(State.FAILED)
        raise type(error)(f"{component}: {error}") from error
    except Exception as error:
        ended(State.FAILED)
        logger.exception("component failed", extra={"fields": {"component": component}})
        raise RunError(f"{component} failed: {type(error).__name__}: {root_cause_line(error)}") from error
    except BaseException:
        ended(State.FAILED)
        raise
    # If an input does not exist, the launcher publishes a failed execution and returns.
    if published.last_known_state == _EXECUTION.FAILED:
        ended(State.FAILED)
        raise RunError(f"{component} failed: an input that it needs does not exist")
    ended(State.CACHED if published.last_known_state == _EXECUTION.CACHED else State.DONE)


@contextmanager
def _exclusive(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    lock = file_lock(root / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RunError(
            f"another run holds {root}: wait for it to end, or set pipeline.root to another place"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reports_to(watcher: Watcher, component: str) -> Iterator[None]:
    """Passes log records with fields from modules of `components` to the watcher, as progress of the component."""

    class Reports(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = getattr(record, "fields", None)
            if fields is not None:
                watcher.progressed(ProgressEvent(component, record.getMessage(), fields))

    handler = Reports(logging.INFO)
    source = logging.getLogger("components")
    source.addHandler(handler)
    try:
        yield
    finally:
        source.removeHandler(handler)
