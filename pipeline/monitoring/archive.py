"""The reports that are kept: a directory each, `<monitoring.directory>/<model>/<version>/<moment>`."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.monitoring.report import JSON_FILE, Report
from pipeline.settings import Settings
from schema.errors import SettingsError

HTML_FILE = "monitoring.html"


@dataclass(frozen=True)
class StoredReport:
    """A report that was written whole.

    Attributes:
        version: that it is about.
        moment: when it was made, UTC, as in 20260112T000000.000Z.
        directory: with its files.
    """

    version: int
    moment: str
    directory: Path

    def read(self) -> Report | None:
        """What was found; None where it is gone, or was written by another release."""
        return _read(self.directory / JSON_FILE)


def reports_directory(settings: Settings) -> Path:
    """Where the reports on the served model are.

    Raises:
        SettingsError: nothing says where on this machine.
    """
    base, root = settings.monitoring.directory, settings.pipeline.root
    if base is None and "://" in root:
        raise SettingsError(
            f"pipeline.root {root} is an object store: set monitoring.directory to a directory on this machine"
        )
    return Path(base or f"{root}/monitoring") / settings.pusher.model_name


def stored_reports(directory: Path, version: int | None = None) -> list[StoredReport]:
    """The reports on a model, or on one of its versions, oldest first."""
    pattern = f"{'*' if version is None else version}/*/{JSON_FILE}"
    places = [path.parent for path in directory.glob(pattern) if path.parent.parent.name.isdecimal()]
    kept = [StoredReport(int(place.parent.name), place.name, place) for place in places]
    return sorted(kept, key=lambda one: (one.moment, one.version))


def report_path(directory: Path, report: Report) -> Path:
    """The directory that a report is to be written to."""
    made = datetime.fromisoformat(report.made)
    return directory / str(report.version) / f"{made:%Y%m%dT%H%M%S}.{made.microsecond // 1000:03}Z"


def prune(directory: Path, most: int) -> None:
    """Removes the oldest reports on a model where there are more than `most`."""
    for report in stored_reports(directory)[:-most]:
        shutil.rmtree(report.directory)


@lru_cache(maxsize=256)
def _read(path: Path) -> Report | None:
    """A report does not change once its JSON is there."""
    try:
        return TypeAdapter(Report).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
