"""Launches one component of a compiled pipeline with TFX's launcher, on any metadata store.

TFX relies on two properties of SQLite that PostgreSQL does not have: queries by id return results in the order of the
ids, and texts with a backslash can be written. Also, TFX's cache accepts an output if its directory exists, even if
files in it were deleted or changed. This module fixes all three.
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
    """Runs one component in this process.

    Returns:
        The published execution; its state is failed if an input does not exist.

    Raises:
        Interrupted: a signal interrupted the process, even if the component suppressed the exception. Nothing is
            published then.
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
    """TFX's connection, but queries by id return results in the order of the ids.

    TFX's cache pairs a component's outputs with their keys by position (tfx/orchestration/portable/cache_utils.py).
    PostgreSQL returns artifacts grouped by type, so a cached output would get the key of another one.
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
    """TFX's launcher, but it publishes neither the outputs of an interrupted executor nor the trace of a failed one.

    The outputs of an executor that suppresses an interrupt may be incomplete, and the next run would take them from the
    cache. A trace, which is also in the log, contains backslashes. ML Metadata 1.21 writes them into PostgreSQL with a
    syntax error, which would replace the original error.
    """

    def _run_executor(self, execution_info):
        with interruptible():
            return super()._run_executor(execution_info)

    def _publish_failed_execution(self, execution_id, contexts, executor_output=None) -> None:
        super()._publish_failed_execution(execution_id, contexts)
