"""Compares the metadata store with the disk: finds live artifacts without files, and deleted artifacts with files."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.artifact_files import missing_file
from pipeline.metadata.graph import component_id, find_producer, find_run
from schema.errors import RunError
from schema.metadata import PIPELINE_CONTEXT
from schema.paths import is_remote

LIVE, DELETED = mlmd.Artifact.LIVE, mlmd.Artifact.DELETED
_IDS_A_CALL = 500


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact whose state in the metadata store does not match the disk.

    Attributes:
        id: id in the metadata store.
        type: name of the artifact type, such as Model.
        run: name of the run that made the artifact, empty if unknown.
        component: id of the component that made the artifact, empty if unknown.
        path: directory of the artifact.
        missing: path or pattern that matches no file; None for an artifact that is marked as deleted and has its files.
    """

    id: int
    type: str
    run: str
    component: str
    path: str
    missing: str | None


def find_mismatches(store: MetadataStore, pipeline: str) -> list[StoredArtifact]:
    """Returns a pipeline's live artifacts without files and its deleted artifacts with files, oldest first."""
    context = store.get_context_by_type_and_name(PIPELINE_CONTEXT, pipeline)
    stored = store.get_artifacts_by_context(context.id) if context else []
    mismatches = []
    for artifact in sorted((one for one in stored if one.uri), key=lambda one: one.id):
        missing = missing_file(artifact)
        if artifact.state == (LIVE if missing else DELETED):
            run, component = _maker(store, artifact)
            mismatches.append(StoredArtifact(artifact.id, artifact.type, run, component, artifact.uri, missing))
    return mismatches


def mark(store: MetadataStore, artifacts: Iterable[StoredArtifact]) -> None:
    """Marks artifacts without files as deleted, so that neither resolvers nor the cache use them, and others as live.

    Raises:
        RunError: the pipeline root of an artifact does not exist, for instance because a volume is not mounted. Nothing
            is marked.
    """
    missing = {artifact.id: artifact.missing for artifact in artifacts}
    for artifact in artifacts:
        # The path is <root>/<pipeline>/<component>/<output>/<execution>.
        root = os.path.normpath(os.path.join(artifact.path, *[os.pardir] * 4))
        if artifact.missing and not is_remote(artifact.path) and not os.path.exists(root):
            raise RunError(
                f"{root}, which held artifact {artifact.id}, does not exist, so nothing is marked. Mount it, or "
                "create an empty directory there if it was deleted on purpose. Then repeat the command"
            )
    ids = list(missing)
    for start in range(0, len(ids), _IDS_A_CALL):
        stored = store.get_artifacts_by_id(ids[start : start + _IDS_A_CALL])
        for artifact in stored:
            artifact.state = DELETED if missing[artifact.id] else LIVE
        store.put_artifacts(stored)


def _maker(store: MetadataStore, artifact: mlmd.Artifact) -> tuple[str, str]:
    """Returns the names of the run and the component that made an artifact, empty if unknown."""
    producer = find_producer(store, artifact.id)
    if producer is None:
        return "", ""
    run = find_run(store, producer)
    return run.name if run else "", component_id(store, producer)
