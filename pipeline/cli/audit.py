"""`agnews audit`: shows, checks and exports the audit log."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from pipeline.cli.options import settings_options
from pipeline.cli.output import exact_output, list_problems, make_console, make_table, strip_control_characters
from pipeline.settings import Settings
from pipeline.settings.sources import Loaded
from schema.errors import AuditError
from schema.wording import amount
from serving.audit import AuditLog, Line

_COLUMNS = ("when", "action", "model", "version", "fingerprint", "by", "who", "why", "outcome", "details", "hash")
# First characters of a cell that a spreadsheet program interprets as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.group(epilog="Example:  agnews audit verify")
def audit() -> None:
    """Show, check and export the audit log.

    It records every push, approval, promotion, rollback and deletion.
    """


@audit.command(epilog="Example:  agnews audit log --json | jq 'select(.action == \"push\")'")
@click.option("--json", "as_json", is_flag=True, help="Print all fields as JSON, one entry per line.")
@settings_options
def log(loaded: Loaded, as_json: bool) -> None:
    """List the entries, oldest first."""
    lines = _open(loaded.settings).lines()
    if as_json:
        _write_jsonl(lines)
    else:
        _print(lines)


@audit.command("verify", epilog="Example:  agnews audit verify --expect $(cat last-hash)")
@click.option(
    "--expect", multiple=True, metavar="SHA256", help="Hash of a line that the log must contain; may be repeated."
)
@settings_options
def verify_log(loaded: Loaded, expect: tuple[str, ...]) -> None:
    """Check that no entry was changed, removed, added or moved since it was written.

    To detect a truncated log, the command also requires every line whose hash is in the metadata store or in --expect.
    It reports decisions and changes of the served versions that are missing from the store or the log, or differ
    between them, pushes that name approvals which the log does not have, and model cards that changed after a decision.
    It prints a note for what it cannot check: missing cards, and records of another log. It also prints the last hash:
    store it where nobody who can write the log can change it.
    """
    from pipeline.governance.audit_check import (
        find_changed_cards,
        other_logs,
        recorded_lines,
        uncounted_decisions,
        unfounded_decisions,
        unfounded_entries,
        unfounded_pushes,
    )
    from pipeline.metadata.connection import existing_store
    from serving.audit import problems

    opened = _open(loaded.settings)
    expected = dict.fromkeys((digest.strip().lower() for digest in expect), "--expect")
    store = existing_store(loaded.settings)
    recorded = recorded_lines(store, opened) if store else {}
    found = problems(opened, recorded | expected)
    if store:
        found += unfounded_decisions(store, opened) + uncounted_decisions(store, opened)
        found += unfounded_entries(store, opened) + unfounded_pushes(store, opened)
    lines = opened.lines()
    changed, gone = find_changed_cards(lines)
    for note in (other_logs(store, opened) if store else []) + gone:
        click.echo(strip_control_characters(note))
    if found:
        raise AuditError(list_problems(f"{opened.path} is not as it was written:", found + changed))
    if changed:
        raise AuditError(list_problems("what was approved is not what is there:", changed))
    known = f"{len(recorded)} known to the metadata store" if store else "the metadata store is not there"
    click.echo(f"{opened.path}: {amount(len(lines), 'entry', 'entries')}, as written; {known}")
    if lines:
        click.echo(f"last hash: {lines[-1].hash}")


@audit.command(epilog="Example:  agnews audit export --format csv > audit.csv")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@settings_options
def export(loaded: Loaded, form: str) -> None:
    """Print all entries with their hashes, as JSON Lines or as CSV.

    In CSV, cells that a spreadsheet program would interpret as a formula get a leading apostrophe.
    """
    lines = _open(loaded.settings).lines()
    if form == "jsonl":
        _write_jsonl(lines)
    else:
        with exact_output():
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows([_cell(row[name]) for name in _COLUMNS] for row in _rows(lines))


def _open(settings: Settings) -> AuditLog:
    from pipeline.governance.audit_check import audit_log

    opened = audit_log(settings)
    if not opened.path.exists():
        raise AuditError(
            f"{opened.path}: no audit log there; the first push or decision makes it, pusher.destination or "
            "promotion.audit_log say where"
        )
    return opened


def _rows(lines: list[Line]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.entry is None:
            raise AuditError(f"line {line.number} of the audit log is no entry: agnews audit verify")
        yield asdict(line.entry) | {"hash": line.hash}


def _write_jsonl(lines: list[Line]) -> None:
    for row in _rows(lines):
        click.echo(json.dumps(row))


def _cell(value: object) -> object:
    text = json.dumps(value) if isinstance(value, dict) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text


def _print(lines: list[Line]) -> None:
    from rich.markup import escape

    table = make_table("when (UTC)", "action", "version", "fingerprint")
    for column in ("by", "why", "hash"):
        table.add_column(column, overflow="fold")
    for line, row in zip(lines, _rows(lines), strict=True):
        assert line.entry  # Otherwise _rows raises an error.
        action = row["action"] + (f" {label}" if (label := row["details"].get("label")) else "")
        outcome = "" if row["outcome"] == "COMPLETE" else f" ({row['outcome'].lower()})"
        # People look for the name that was given; if another account ran the process, show the account as well.
        by = row["by"] if row["by"] == row["who"] else f"{line.entry.shown_by or '-'} as {row['who']}"
        cells = (
            row["when"][:19].replace("T", " "),
            action + outcome,
            line.entry.version_change,
            row["fingerprint"][:12],
            by,
            row["why"],
        )
        table.add_row(*(escape(strip_control_characters(cell)) for cell in cells), row["hash"][:12])
    make_console(180).print(table)
