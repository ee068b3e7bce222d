"""Decides which artifacts of a pipeline may be removed, and removes their files.

The metadata store keeps all records, so lineage stays complete; only files go. An artifact is kept if a kept run made,
read or reused it, or if a model that still matters leads to it. Model cards and evaluations, on which people decided,
always stay. Everything else is removed.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.approval import Status
from pipeline.governance.approvals import Approvals
from pipeline.governance.audit_check import audit_log
from pipeline.metadata.snapshot import Artifact, Run, Snapshot
from pipeline.settings import Settings
from schema.metadata import (
    EVALUATION,
    EXAMPLES,
    MODEL,
    MODEL_BLESSING,
    MODEL_CARD,
    REMOVED_ON,
    VALIDATION_BLESSING,
)
from serving.audit import CLEAN, Entry
from serving.versions import pushed_versions

_UNFINISHED = ("NEW", "RUNNING")
# The newest is the candidate of the last run, the one before it is what a new candidate is compared with.
_BASELINES = 2
_DECIDED_ON = (MODEL_CARD, EVALUATION)
_IDS_A_CALL = 500


def removable_artifacts(
    snapshot: Snapshot, settings: Settings, models: Iterable[int], keep_runs: int, older_than: float
) -> list[Artifact]:
    """Returns the artifacts that nothing needs any more, oldest first.

    Args:
        snapshot: content of the metadata store.
        settings: name and root of the pipeline, and the number of spans in a window.
        models: ids of models that must be kept, as returned by `models_in_use`.
        keep_runs: number of newest runs that are kept.
        older_than: POSIX seconds; later runs are kept.
    """
    own = _own_artifacts(snapshot, settings)
    kept = _latest_spans(snapshot, settings.data.window) | {one.id for one in own if one.type in _DECIDED_ON}
    for run in _kept_runs(snapshot, own, keep_runs, older_than):
        kept |= _used_by(snapshot, [one.id for one in snapshot.executions_of(run.id)])
    for model in (*_baselines(snapshot), *models):
        kept |= _evidence(snapshot, model)
    return [artifact for artifact in own if artifact.id not in kept and not artifact.removed]


def models_in_use(snapshot: Snapshot, settings: Settings, store: MetadataStore, now: datetime) -> dict[int, str]:
    """Returns the models that are pushed, wait for an approval, or are approved and not pushed yet, with the reason."""
    found: dict[int, str] = {}
    for request in Approvals(store, settings, audit_log(settings)).requests(now):
        if request.status in (Status.PENDING, Status.EXPIRED):
            found[request.model_id] = "waiting for approval"
        elif request.status is Status.APPROVED and not _was_pushed(snapshot, request.model_id):
            found[request.model_id] = "approved"
    for version in pushed_versions(Path(settings.pusher.destination) / settings.pusher.model_name).values():
        if version.model_id is not None:
            found[version.model_id] = f"version {version.number}"
    return found


def _was_pushed(snapshot: Snapshot, model: int) -> bool:
    made = (link for reader in snapshot.readers(model) for link in snapshot.outputs(reader.execution))
    return any(snapshot.artifacts[link.artifact].is_pushed for link in made)


def remove(settings: Settings, store: MetadataStore, artifacts: Sequence[Artifact], by: str, now: datetime) -> None:
    """Marks artifacts as deleted, enters that in the audit log, and deletes their files.

    A killed removal leaves marked artifacts whose files are still there; the next removal deletes them.

    Args:
        settings: where the audit log is.
        store: the metadata store, opened for writing.
        artifacts: the artifacts, as returned by `removable_artifacts` and `unfinished_removal`.
        by: who removes them.
        now: with a time zone.
    """
    ids = [artifact.id for artifact in artifacts]
    if ids:
        details = {"artifacts": len(ids), "first": ids[0], "last": ids[-1]}
        audit_log(settings).append(Entry(CLEAN, settings.pusher.model_name, by=by, details=details))
    for start in range(0, len(ids), _IDS_A_CALL):
        stored = store.get_artifacts_by_id(ids[start : start + _IDS_A_CALL])
        for artifact in stored:
            artifact.state = mlmd.Artifact.DELETED
            artifact.custom_properties[REMOVED_ON].string_value = now.date().isoformat()
        store.put_artifacts(stored)
    for artifact in artifacts:
        _delete(artifact)


def unfinished_removal(snapshot: Snapshot, settings: Settings) -> list[Artifact]:
    """Returns the artifacts that a killed removal has marked, and whose files are still there."""
    marked = (one for one in _own_artifacts(snapshot, settings) if one.removed and REMOVED_ON in one.properties)
    return [one for one in marked if os.path.exists(one.uri)]


def size(artifact: Artifact) -> int:
    """Returns the bytes of an artifact's files."""
    return sum(file.lstat().st_size for file in Path(artifact.uri).rglob("*") if file.is_file())


def _delete(artifact: Artifact) -> None:
    if os.path.exists(artifact.uri):
        shutil.rmtree(artifact.uri)


def _own_artifacts(snapshot: Snapshot, settings: Settings) -> list[Artifact]:
    """Returns the artifacts below the pipeline's root, oldest first."""
    base = f"{settings.pipeline.root}/{settings.pipeline.name}/"
    return sorted((one for one in snapshot.artifacts.values() if one.uri.startswith(base)), key=lambda one: one.id)


def _kept_runs(snapshot: Snapshot, own: Iterable[Artifact], count: int, older_than: float) -> list[Run]:
    """Returns the pipeline's newest runs, those after `older_than`, and those that have not ended."""
    used = {run.id: run for artifact in own for run in snapshot.runs_using(artifact.id)}
    runs = sorted(used.values(), key=lambda run: (run.began, run.id), reverse=True)
    return [
        run
        for place, run in enumerate(runs)
        if place < count
        or run.began >= older_than
        or any(one.state in _UNFINISHED for one in snapshot.executions_of(run.id))
    ]


def _used_by(snapshot: Snapshot, executions: Iterable[int]) -> set[int]:
    return {link.artifact for execution in executions for link in snapshot.links.get(execution, ())}


def _baselines(snapshot: Snapshot) -> list[int]:
    blessings = [one for one in snapshot.of_type(MODEL_BLESSING) if one.properties.get("blessed") == 1]
    models = list(dict.fromkeys(int(one.properties["current_model_id"]) for one in reversed(blessings)))
    return models[:_BASELINES]


def _evidence(snapshot: Snapshot, model: int) -> set[int]:
    """Returns a model, what it was made from, and what judged it, with the files that the judgement needed.

    A model that it was compared with, or that its training started with, is included, but not what that was made from;
    nor are later models that were compared with it or started with it.
    """
    found: set[int] = set()
    waiting = [model]
    while waiting:
        artifact = waiting.pop()
        found.add(artifact)
        is_other_model = artifact != model and snapshot.artifacts[artifact].type == MODEL
        maker = None if is_other_model else snapshot.maker(artifact)
        if maker is not None:
            waiting += _used_by(snapshot, [maker.id]) - found - set(waiting)
    return found | _used_by(snapshot, [link.execution for link in snapshot.readers(model, "model")])


def _latest_spans(snapshot: Snapshot, spans: int) -> set[int]:
    """Returns the accepted rows and statistics that the next window and the next drift check read."""
    blessed = [one.properties for one in snapshot.of_type(VALIDATION_BLESSING)]
    rows = {one.id: one for one in snapshot.of_type(EXAMPLES)}
    accepted = [
        (rows[blessing["examples_id"]].properties.get("span", 0), blessing)
        for blessing in blessed
        if blessing.get("examples_id") in rows
    ]
    latest = sorted({span for span, _ in accepted})[-(spans + 1) :]
    return {
        int(blessing[name])
        for span, blessing in accepted
        if span in latest
        for name in ("examples_id", "statistics_id")
        if blessing.get(name)
    }
