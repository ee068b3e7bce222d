"""Compares the metadata store with the disk: which recorded artifacts lost their files, and which have them again."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.io import fileio

from components.artifact_files import missing_file
from schema.errors import RunError

LIVE, DELETED = mlmd.Artifact.LIVE, mlmd.Artifact.DELETED
_IDS_A_CALL = 500


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact whose state in the metadata store is not what the disk says.

    Attributes:
        id: in the metadata store.
        type: for instance Model.
        run: name of the run that made it; empty where the store does not say.
        component: id of the component that made it.
        path: its directory.
        missing: the path that nothing is found at; None for an artifact that is marked as deleted and has its files.
    """

    id: int
    type: str
    run: str
    component: str
    path: str
    missing: str | None


def find_mismatches(store: MetadataStore, pipeline: str) -> list[StoredArtifact]:
    """Returns a pipeline's live artifacts without files and its deleted artifacts with files, oldest first."""
    context = store.get_context_by_type_and_name("pipeline", pipeline)
    stored = store.get_artifacts_by_context(context.id) if context else []
    mismatches = []
    for artifact in sorted((one for one in stored if one.uri), key=lambda one: one.id):
        missing = missing_file(artifact)
        if artifact.state == (LIVE if missing else DELETED):
            run, component = _maker(store, artifact)
            mismatches.append(StoredArtifact(artifact.id, artifact.type, run, component, artifact.uri, missing))
    return mismatches


def mark(store: MetadataStore, artifacts: Iterable[StoredArtifact]) -> None:
    """Marks artifacts without files as deleted, so that no resolver and no cache looks for them, and others as live.

    Raises:
        RunError: the root of an artifact is not there, as where a volume is not mounted; nothing is marked.
    """
    missing = {artifact.id: artifact.missing for artifact in artifacts}
    for artifact in artifacts:
        # The place is <root>/<pipeline>/<component>/<output>/<execution>.
        root = os.path.normpath(os.path.join(artifact.path, *[os.pardir] * 4))
        if artifact.missing and "://" not in artifact.path and not fileio.exists(root):
            raise RunError(
                f"{root}, which held artifact {artifact.id}, is not there, so nothing is marked: mount it; if it was "
                "deleted on purpose, make an empty directory in its place and repeat"
            )
    ids = list(missing)
    for start in range(0, len(ids), _IDS_A_CALL):
        stored = store.get_artifacts_by_id(ids[start : start + _IDS_A_CALL])
        for artifact in stored:
            artifact.state = DELETED if missing[artifact.id] else LIVE
        store.put_artifacts(stored)


def _maker(store: MetadataStore, artifact: mlmd.Artifact) -> tuple[str, str]:
    """Names the run and the component that made an artifact; those that took it from the cache came later."""
    events = store.get_events_by_artifact_ids([artifact.id])
    makers = [event.execution_id for event in events if event.type == mlmd.Event.OUTPUT]
    contexts = store.get_contexts_by_execution(min(makers)) if makers else []
    names = {context.type: context.name for context in contexts}
    return names.get("pipeline_run", ""), names.get("node", "").rpartition(".")[2]
