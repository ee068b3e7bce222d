"""Finds stored monitoring reports; each has a directory `<monitoring.directory>/<model>/<version>/<moment>`."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.monitoring.report import JSON_FILE, Report
from pipeline.settings import Settings
from schema.errors import SettingsError
from schema.paths import is_remote

HTML_FILE = "monitoring.html"


@dataclass(frozen=True)
class StoredReport:
    """A completely written report.

    Attributes:
        version: model version that the report describes.
        moment: creation time, UTC, for instance 20260112T000000.000Z.
        directory: directory with the report's files.
    """

    version: int
    moment: str
    directory: Path

    def read(self) -> Report | None:
        """Returns the report, or None if it was deleted or has another release's format."""
        return _read(self.directory / JSON_FILE)


def reports_directory(settings: Settings) -> Path:
    """Returns the directory with the reports on the served model.

    Raises:
        SettingsError: the pipeline root is an object store and monitoring.directory is not set.
    """
    return base_directory(settings) / settings.pusher.model_name


def base_directory(settings: Settings) -> Path:
    """Returns the directory of everything that monitoring stores.

    Raises:
        SettingsError: the pipeline root is an object store and monitoring.directory is not set.
    """
    base, root = settings.monitoring.directory, settings.pipeline.root
    if base is None and is_remote(root):
        raise SettingsError(f"pipeline.root {root} is an object store: set monitoring.directory to a local directory")
    return Path(base or f"{root}/monitoring")


def stored_reports(directory: Path, version: int | None = None) -> list[StoredReport]:
    """Lists the reports on a model, oldest first.

    Args:
        directory: as returned by `reports_directory`.
        version: restricts the list to one version.
    """
    pattern = f"{'*' if version is None else version}/*/{JSON_FILE}"
    paths = [path.parent for path in directory.glob(pattern) if path.parent.parent.name.isdecimal()]
    reports = [StoredReport(int(path.parent.name), path.name, path) for path in paths]
    return sorted(reports, key=lambda report: (report.moment, report.version))


def report_path(directory: Path, report: Report) -> Path:
    """Returns the directory that a report is written to."""
    made = datetime.fromisoformat(report.made)
    return directory / str(report.version) / f"{made:%Y%m%dT%H%M%S}.{made.microsecond // 1000:03}Z"


def prune(directory: Path, keep: int) -> None:
    """Deletes all but the newest `keep` reports on a model."""
    for report in stored_reports(directory)[:-keep]:
        shutil.rmtree(report.directory)


@lru_cache(maxsize=256)
def _read(path: Path) -> Report | None:
    """Reads a report; the result is cached because a written report does not change."""
    try:
        return TypeAdapter(Report).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
