"""Runs monitoring: from request logs to a report."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
from ml_metadata.metadata_store import MetadataStore

from components.model_card.exported_model import ExportedModel
from pipeline.monitoring.detection import DriftDetector, find_alerts
from pipeline.monitoring.labels import ItemLabel, labels_file, stored_labels
from pipeline.monitoring.observations import ITEM, LoggedRequests, classify_items, log_files, read_log_files, to_rows
from pipeline.monitoring.quality import measure_quality, quality_alerts
from pipeline.monitoring.reference import CORRECT, Reference, find_reference
from pipeline.monitoring.report import Report
from pipeline.settings import Settings
from schema.errors import DataError
from schema.wording import amount
from serving.versions import PushedVersion, loadable, pushed_versions


def monitor(
    settings: Settings,
    logs: Sequence[Path],
    store: MetadataStore | None,
    *,
    version: int | None,
    now: datetime,
    items: bool = False,
) -> Report:
    """Compares a version's logged predictions with its training data, and each window with earlier windows.

    Args:
        settings: `pusher` names the serving directory, `monitoring` has windows and thresholds.
        logs: files of the request log, or directories that contain them.
        store: metadata store with the model's lineage; None skips the comparison with training data.
        version: version to examine; None selects the version with the most recent request.
        now: creation time of the report, with a time zone.
        items: `logs` are files of texts, or patterns, which the version (by default the newest) classifies first.

    Raises:
        DataError: the logs cannot be read, or contain no prediction of the version.
    """
    name, data_set = settings.pusher.model_name, settings.data.data_set()
    class_names = data_set.class_names
    versions = pushed_versions(Path(settings.pusher.destination) / name)
    exported: ExportedModel | None = None
    if items:
        log, version, exported = _classify(settings, list(map(str, logs)), versions, version, now)
    else:
        log = read_log_files(log_files(logs), name, data_set)
        version = log.latest_version() if version is None else version
    used = [record for record in log.used if record.version == version]
    if not used:
        known = ", ".join(map(str, sorted({record.version for record in log.used})))
        raise DataError(f"the logs contain no prediction of version {version} of {name}, only of: {known}")
    pushed = versions.get(version)
    if exported is None and pushed and not pushed.problem:
        exported = ExportedModel(str(pushed.path), class_names)
    rows = to_rows(used, exported, class_names)
    detector = DriftDetector(rows, settings.monitoring, class_names)
    reference = _reference(pushed, exported, store, settings)
    skew, windows = detector.skew(reference), detector.windows()
    expected = None if reference.predictions is None else reference.predictions[CORRECT].to_numpy()
    labels = stored_labels(labels_file(settings))
    quality = measure_quality(rows, labels, expected, settings.monitoring, class_names)
    return Report(
        model=name,
        version=version,
        model_id=pushed.model_id if pushed else None,
        made=now.isoformat(timespec="milliseconds"),
        window_hours=settings.monitoring.window_hours,
        records=len(used),
        skipped=_count_skipped(log, len(used)),
        rows=len(rows),
        sampling_rates=tuple(sorted({record.sampling_rate for record in used})),
        skew=skew,
        windows=windows,
        alerts=(*quality_alerts(quality, settings.monitoring), *find_alerts(skew, windows)),
        notes=(*reference.notes, *_labels_not_logged(labels, rows)),
        quality=quality,
    )


def _classify(
    settings: Settings,
    patterns: Sequence[str],
    versions: Mapping[int, PushedVersion],
    version: int | None,
    now: datetime,
) -> tuple[LoggedRequests, int, ExportedModel]:
    """Returns the classified items, the version that classified them (by default the newest), and its model."""
    usable = loadable(versions)
    version = max(usable, default=0) if version is None else version
    if version not in usable:
        raise DataError(f"{settings.pusher.destination} has no version {version or 'of the model'} that can be loaded")
    data_set, rows = settings.data.data_set(), settings.monitoring.reference_rows
    model = ExportedModel(str(versions[version].path), data_set.class_names)
    found = classify_items(patterns, data_set.text_columns, model, version, rows, int(now.timestamp()))
    return found, version, model


def _reference(
    pushed: PushedVersion | None, exported: ExportedModel | None, store: MetadataStore | None, settings: Settings
) -> Reference:
    if pushed is None:
        return Reference(notes=[f"its lineage is unknown because the version is not in {settings.pusher.destination}"])
    if pushed.model_id is None or store is None:
        missing = "the version does not record its model's id" if store else "there is no metadata store"
        return Reference(notes=[f"its training data is unknown because {missing}"])
    return find_reference(store, pushed.model_id, exported, settings.monitoring.reference_rows)


def _labels_not_logged(labels: Mapping[str, ItemLabel], rows: pd.DataFrame) -> Iterable[str]:
    if missing := labels.keys() - set(rows[ITEM]):
        yield f"the log does not contain the items of {len(missing):,} of {amount(len(labels), 'label')}"


def _count_skipped(log: LoggedRequests, used: int) -> dict[str, int]:
    others = len(log.used) - used
    return dict(log.skipped) | ({"another version": others} if others else {})
