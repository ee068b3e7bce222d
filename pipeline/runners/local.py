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
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2

from pipeline.metadata.connection import open_store
from pipeline.metadata.runs import close_killed_executions, unfinished_executions
from pipeline.runners.component import compile_run, run_component, upstream_components
from pipeline.runners.events import ComponentEvent, ProgressEvent, State, Watcher
from pipeline.runners.logs import root_cause_line
from pipeline.runners.run_id import PREFIX
from schema.errors import AgNewsError, ApprovalPending, NothingToTrain, RunError
from schema.files import file_lock
from schema.interruption import Interrupted, raise_if_interrupted

logger = logging.getLogger(__name__)


def run(pipeline: Pipeline, run_id: str, root: Path, watcher: Watcher, log: str = "") -> None:
    """Runs every component in topological order; takes the outputs of unchanged components from the cache.

    Args:
        pipeline: the pipeline that `pipeline.dag.create_pipeline` built.
        run_id: name of this run in the metadata store.
        root: local directory, locked so that only one run at a time can use it.
        watcher: receives the events of the run.
        log: where people find the log of the run.

    Raises:
        NothingToTrain: the span is empty.
        ApprovalPending: the model needs an approval; nothing was pushed, and a repeated run continues from there.
        RunError: a component failed, or another run has locked `root`.
        AgNewsError: a component rejected its input; the message is from the component.
        Interrupted: a signal interrupted the process; no further component is started.
    """
    ir, connection = compile_run(pipeline, run_id), pipeline.metadata_connection_config
    with exclusive(root):
        store, info = open_store(connection), pipeline.pipeline_info
        killed = unfinished_executions(store, info.pipeline_name, PREFIX)
        close_killed_executions(store, killed, info.pipeline_root)
        components = upstream_components(ir)
        watcher.run_began(components)
        for component in components:
            raise_if_interrupted()
            _run_component(ir, component, connection, watcher, log)


def _run_component(
    ir: pipeline_pb2.Pipeline,
    component: str,
    connection: metadata_store_pb2.ConnectionConfig,
    watcher: Watcher,
    log: str,
) -> None:
    began = time.monotonic()
    watcher.component_changed(ComponentEvent(component, State.RUNNING))

    def ended(state: State) -> None:
        watcher.component_changed(ComponentEvent(component, state, time.monotonic() - began))

    try:
        with reports_to(watcher, component):
            ended(run_component(ir, component, connection, log).state)
    except ApprovalPending:
        ended(State.WAITING)
        raise
    except NothingToTrain:
        ended(State.SKIPPED)
        raise
    except Interrupted:
        ended(State.STOPPED)
        raise
    except AgNewsError:
        ended(State.FAILED)
        raise
    except Exception as error:
        ended(State.FAILED)
        logger.exception("component failed", extra={"fields": {"component": component}})
        raise RunError(f"{component} failed: {type(error).__name__}: {root_cause_line(error)}") from error
    except BaseException:
        ended(State.FAILED)
        raise


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Locks a pipeline root, so that only one process at a time runs in it or cleans it up.

    Raises:
        RunError: another run has locked it.
    """
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
