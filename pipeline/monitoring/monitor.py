"""Monitoring from logs to a report."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore

from components.model_card.exported_model import ExportedModel
from pipeline.monitoring.judgement import Judge, alerts
from pipeline.monitoring.observations import Records, log_files, read_records, to_rows
from pipeline.monitoring.reference import Reference, find_reference
from pipeline.monitoring.report import Report
from pipeline.settings import Settings
from schema.errors import DataError
from serving.versions import PushedVersion, pushed_versions


def monitor(
    settings: Settings,
    logs: Sequence[Path],
    store: MetadataStore | None,
    *,
    version: int | None,
    now: datetime,
) -> Report:
    """Compares the logged answers of one version of the model with its training, and hours with the hours before.

    Args:
        settings: `pusher` says where the model's versions are, `monitoring` what matters.
        logs: files of the request log, or directories of them.
        store: the metadata store, for the lineage; None compares nothing with training.
        version: whose answers; None takes the version that answered last.
        now: with a time zone.

    Raises:
        DataError: the logs cannot be read, or hold no answer of the version.
    """
    name = settings.pusher.model_name
    records = read_records(log_files(logs), name)
    version = records.newest_version() if version is None else version
    used = [record for record in records.used if record.version == version]
    if not used:
        known = ", ".join(map(str, sorted({record.version for record in records.used})))
        raise DataError(f"the logs hold no answer of version {version} of {name}; they hold: {known}")
    pushed = pushed_versions(Path(settings.pusher.destination) / name).get(version)
    exported = ExportedModel(str(pushed.path)) if pushed and not pushed.problem else None
    rows = to_rows(used, exported)
    judge = Judge(rows, settings.monitoring)
    reference = _reference(pushed, exported, store, settings)
    skew, windows = judge.skew(reference), judge.windows()
    return Report(
        model=name,
        version=version,
        model_id=pushed.model_id if pushed else None,
        made=now.isoformat(timespec="milliseconds"),
        window_hours=settings.monitoring.window_hours,
        records=len(used),
        skipped=_skipped(records, len(used)),
        rows=len(rows),
        sampling_rates=tuple(sorted({record.sampling_rate for record in used})),
        skew=skew,
        windows=windows,
        alerts=alerts(skew, windows),
        notes=tuple(reference.notes),
    )


def _reference(
    pushed: PushedVersion | None, exported: ExportedModel | None, store: MetadataStore | None, settings: Settings
) -> Reference:
    if pushed is None:
        return Reference(notes=[f"the version is not in {settings.pusher.destination}, so its lineage is not known"])
    if pushed.model_id is None or store is None:
        missing = "the version does not name its model" if store else "there is no metadata store"
        return Reference(notes=[f"{missing}, so what it was trained on is not known"])
    return find_reference(store, pushed.model_id, exported, settings.monitoring.reference_rows)


def _skipped(records: Records, used: int) -> dict[str, int]:
    others = len(records.used) - used
    return dict(records.skipped) | ({"another version": others} if others else {})
