"""`agnews versions`: lists the pushed versions."""

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import settings_options
from pipeline.cli.output import strip_control_characters
from pipeline.cli.promotion import open_deployment, running_server_options
from pipeline.settings.sources import Loaded

if TYPE_CHECKING:
    from pipeline.metadata.versions import VersionOverview
    from serving.client import Tls

_PLAIN_WIDTH = 180
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@click.command(epilog="Example:  agnews versions --server localhost:8500")
@running_server_options
@click.option("--json", "as_json", is_flag=True, help="Print all details as JSON.")
@settings_options
def versions(loaded: Loaded, address: str | None, tls: "Tls | None", as_json: bool) -> None:
    """List the pushed versions with their labels, state, accuracy and author, lowest first.

    The state comes from models.config and, with --server, from a running server. Accuracy is measured on the test
    split of the run that pushed the version.
    """
    from pipeline.metadata.versions import overview

    deployment, store = open_deployment(loaded, address, tls)
    rows = overview(deployment, store)
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _print(rows, time.time(), deployment.directory)


def _print(rows: "list[VersionOverview]", now: float, directory: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    table = Table("version", box=None, pad_edge=False, header_style="dim")
    for column in ("age", "MB", "accuracy"):
        table.add_column(column, justify="right")
    for column in ("labels", "served", "server", "pushed by", "last change"):
        if column != "server" or any(row.state for row in rows):
            table.add_column(column, overflow="fold")
    for row in rows:
        accuracy = row.metrics.get("accuracy")
        cells = [
            str(row.version.number),
            _age(now - row.version.pushed_at),
            f"{row.version.size / 1e6:,.1f}",
            "" if accuracy is None else f"{accuracy:.4f}",
            ", ".join(row.labels),
            f"no: {row.version.problem}" if row.version.problem else _served(row),
            *([row.state] if row.state else []),
            row.pushed_by or "not known here",
            _last_change(row, now),
        ]
        table.add_row(
            *(escape(strip_control_characters(cell)) for cell in cells), style="bold" if row.in_production else ""
        )
    console.print(f"{directory}", markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    for source in sorted({row.source for row in rows if row.source}):
        console.print(
            strip_control_characters(f"accuracy is of rows from {source}"),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _served(row: "VersionOverview") -> str:
    if row.in_production:
        return "in production"
    if row.is_default:
        unlabelled = "loaded, answers requests without a label"
        return unlabelled if row.loaded else "newest, served where there is no models.config"
    return "loaded" if row.loaded else ""


def _last_change(row: "VersionOverview", now: float) -> str:
    number = row.version.number
    # A failed attempt to promote another version did not change this one.
    records = [record for record in row.records if record.state == "COMPLETE" or record.to_version == number]
    if not records:
        return ""
    record = records[-1]
    came = record.to_version == number
    what = {
        "promote": f"became {record.label}" if came else f"no longer {record.label}",
        "rollback": "rolled back to" if came else "rolled back from",
        "prune": "to be deleted",
    }[record.action]
    ended = "" if record.state == "COMPLETE" else f" ({record.state.lower()}, see --json)"
    age = _age(now - datetime.fromisoformat(record.when).timestamp())
    why = f": {record.why}" if record.why else ""
    return f"{what}{ended}, {age} ago by {record.who}{why}"


def _age(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return "0 s"


def _plain(row: "VersionOverview") -> dict[str, Any]:
    version = row.version
    return {
        "version": version.number,
        "path": str(version.path),
        "flaw": version.problem,
        "bytes": version.size,
        "pushed_at": datetime.fromtimestamp(version.pushed_at, UTC).isoformat(timespec="seconds"),
        "model_id": version.model_id,
        "pushed_by": row.pushed_by,
        "data": row.source,
        "metrics": dict(row.metrics),
        "labels": list(row.labels),
        "in_production": row.in_production,
        "loaded": row.loaded,
        "answers_without_label": row.is_default,
        "server_state": row.state,
        "changes": [
            {name: value for name, value in asdict(record).items() if name != "texts"} for record in row.records
        ],
    }
