"""Launches one component of a compiled pipeline with TFX's launcher, on any metadata store.

Two things that TFX leaves to chance hold on SQLite and not on PostgreSQL: the order of what the store is asked for by
id, and that a text with a backslash can be written. And TFX's cache answers with an output whose directory is there,
whatever was deleted in it.
"""

import logging
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Artifact, artifact_utils

from components.artifact_files import missing_file
from schema.interruption import interruptible

logger = logging.getLogger(__name__)


def launch(
    ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode, connection: metadata_store_pb2.ConnectionConfig
) -> metadata_store_pb2.Execution:
    """Runs one component in this process; its execution as it was published, failed where an input does not exist.

    Raises:
        Interrupted: a signal told the process to end, whatever the component made of it. Nothing is then published.
    """
    component = node.node_info.id
    deployment = runner_utils.extract_local_deployment_config(ir)
    with interruptible():
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
    """Raises RuntimeError where an output lacks a file; the cache then looks for earlier outputs of the same key."""
    for artifact in chain.from_iterable(outputs.values()):
        if missing := missing_file(artifact):
            logger.warning(f"the cached {artifact.type_name} {artifact.id} is not used: {missing} is gone")
            raise RuntimeError(f"{missing} is gone")


# TFX offers no place for it: tfx/orchestration/portable/cache_utils.py calls this function by its module.
artifact_utils.verify_artifacts = _verify_cached


class _Connection(metadata.Metadata):
    """TFX's connection; what is asked for by id comes in the order of the ids.

    TFX's cache pairs a component's outputs with their keys by position (tfx/orchestration/portable/cache_utils.py).
    From PostgreSQL artifacts come grouped by type: a cached output would get another one's key.
    """

    def __enter__(self) -> "_Connection":
        super().__enter__()
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
    """TFX's launcher, which publishes neither the work of an interrupted executor nor the trace of a failed one.

    What an executor makes while it drops an interrupt cannot be trusted, and the next run would take it from the cache.
    A trace, which is in the log as well, holds backslashes, which ML Metadata 1.21 writes into PostgreSQL with a syntax
    error: that error would take the place of the one that the trace is about.
    """

    def _run_executor(self, execution_info):
        with interruptible():
            return super()._run_executor(execution_info)

    def _publish_failed_execution(self, execution_id, contexts, executor_output=None) -> None:
        super()._publish_failed_execution(execution_id, contexts)
