"""`agnews versions`: lists the pushed versions, checks them, and changes which ones are served and kept."""

import functools
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.canary import canary
from pipeline.cli.options import MOST_SECONDS, LocalPath, ServerAddress, by_option, settings_options, tls_options
from pipeline.cli.output import list_problems, make_console, make_table, strip_control_characters
from pipeline.settings.sources import Loaded
from schema.errors import AuditError
from serving.audit import AUDIT_FILE, PUSH, AuditLog, readable
from serving.finite_range import FiniteRange

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

    from pipeline.metadata.versions import VersionOverview
    from serving.client import Tls
    from serving.promotion import Deployment, Record, Signature

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
# Timeout in seconds of a request for which the server does not load a version.
_ANSWER_SECONDS = 10.0


@click.group(epilog="Example:  agnews versions list --server localhost:8500")
def versions() -> None:
    """List, promote, compare, verify and delete the pushed versions."""


versions.add_command(canary)


def running_server_options(command: Callable) -> Callable:
    """Adds `--server` and the TLS options to a command, and passes it `address`, None without a server, and `tls`."""
    server = click.option(
        "--server",
        "address",
        type=ServerAddress(),
        help="gRPC address of a running server, to query its state and to apply changes at once.",
    )
    return server(tls_options(command))


def _signed_options(command: Callable) -> Callable:
    """Adds `--server`, TLS, `--by`, `--reason` and settings options to a command.

    The command receives `deployment` and `signature`.
    """

    @running_server_options
    @by_option("Name to record with the change")
    @click.option("--reason", default="", help="Reason to record.")
    @settings_options
    @functools.wraps(command)
    def with_options(
        *,
        loaded: Loaded,
        address: str | None,
        tls: "Tls | None",
        by: str,
        reason: str,
        timeout=_ANSWER_SECONDS,
        poll_seconds=0.0,
        **rest,
    ):
        from serving.promotion import Signature

        deployment, _ = open_deployment(loaded, address, tls, timeout, poll_seconds)
        signature = Signature(by, readable(reason))
        return command(deployment=deployment, signature=signature, **rest)

    return with_options


def _waiting_options(command: Callable) -> Callable:
    """Adds `--timeout` and `--poll-seconds` to a command."""
    timeout = click.option(
        "--timeout",
        type=FiniteRange(0, MOST_SECONDS, min_open=True),
        default=120.0,
        show_default=True,
        help="With --server: seconds to wait for a version to be loaded.",
    )
    poll_seconds = click.option(
        "--poll-seconds",
        type=FiniteRange(0, MOST_SECONDS),
        default=15.0,
        show_default=True,
        help="Without --server: seconds to wait for servers to read models.config.",
    )
    return timeout(poll_seconds(command))


@versions.command("list", epilog="Example:  agnews versions list --server localhost:8500")
@running_server_options
@click.option("--json", "as_json", is_flag=True, help="Print all details as JSON.")
@settings_options
def list_versions(loaded: Loaded, address: str | None, tls: "Tls | None", as_json: bool) -> None:
    """List the pushed versions with their labels, state, accuracy and author, lowest first.

    The state comes from models.config and, with --server, from a running server. Accuracy is measured on the test
    split of the run that pushed the version.
    """
    from pipeline.metadata.versions import overview

    deployment, store = open_deployment(loaded, address, tls)
    rows = overview(deployment, store)
    if as_json:
        click.echo(json.dumps([_to_json_dict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _print_versions(rows, time.time(), deployment.directory)


@versions.command(epilog="Example:  agnews versions promote 1795469554 --label canary --server localhost:8500")
@click.argument("version", type=click.IntRange(min=0))
@click.option("--label", type=click.Choice(["stable", "canary"]), required=True, help="The label to move to VERSION.")
@_waiting_options
@_signed_options
def promote(deployment: "Deployment", signature: "Signature", version: int, label: str) -> None:
    """Move the label stable or canary to a version, and serve that version.

    `stable` is the version in production, `canary` a version on trial. The server loads VERSION first, and the label
    moves when it is ready. The previous production version stays loaded, so that `agnews versions rollback` takes
    effect immediately.
    A version whose files are not those in the audit log is refused.
    """
    from serving import promotion

    record = promotion.promote(deployment, version, label, signature)
    if record is None:
        click.echo(f"version {version} is {label} already; nothing was changed")
        _print_other_place(deployment)
    else:
        _report(deployment, record)


@versions.command("end-canary", epilog="Example:  agnews versions end-canary --server localhost:8500")
@_signed_options
def end_canary(deployment: "Deployment", signature: "Signature") -> None:
    """Remove the label canary, and unload its version.

    Requests for the label then fail, so first stop the clients that send a share of their requests to it.
    """
    from serving import promotion

    record = promotion.end_canary(deployment, signature)
    if record is None:
        click.echo("no version is the canary; nothing was changed")
    else:
        _report(deployment, record)


@versions.command(epilog="Example:  agnews versions rollback --reason 'finds no sports' --server localhost:8500")
@click.option(
    "--to", "version", type=click.IntRange(min=0), help="Version to restore  [default: the previous production version]"
)
@_waiting_options
@_signed_options
def rollback(deployment: "Deployment", signature: "Signature", version: int | None) -> None:
    """Restore the previous production version.

    The current version loses its labels and is unloaded. To undo a rollback, promote a version.
    """
    from serving import promotion

    _report(deployment, promotion.roll_back(deployment, version, signature))


@versions.command(epilog="Example:  agnews versions prune --keep 5 --dry-run")
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="Minimum number of versions to keep, the highest ones."
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@_signed_options
def prune(deployment: "Deployment", signature: "Signature", keep: int, dry_run: bool) -> None:
    """Delete old versions that are not in use.

    The command never deletes a version that is served or labelled, or that `agnews versions rollback` would restore.
    """
    from serving import promotion

    pruned = promotion.prune(deployment, keep, signature, dry_run=dry_run)
    for number, reason in pruned.kept.items():
        click.echo(f"kept {number}: {reason}")
    for number, size in pruned.removed.items():
        click.echo(f"{'would delete' if dry_run else 'deleted'} {number}, {size / 1e6:,.1f} MB")
    if not pruned.removed:
        click.echo("nothing to delete")


@versions.command(epilog="Example:  agnews versions verify serving_model")
@click.argument("serving_dir", type=LocalPath(exists=True, file_okay=False))
@click.option("--log", "log_file", type=LocalPath(), help="Audit log  [default: SERVING_DIR/audit.jsonl]")
@click.option("--public-key", type=LocalPath(), help="PEM file; require signatures by this key.")
def verify(serving_dir: Path, log_file: Path | None, public_key: Path | None) -> None:
    """Compare the served versions with the models that were pushed.

    The command compares each version in SERVING_DIR with the fingerprints of its push, and names the files that differ.
    With --public-key, each push must be signed by this key, and so must each promotion, rollback and deletion after the
    first signed entry.
    It prints a note for each model that models.config loads from another directory, and does not compare that model.
    """
    from serving.audit import lost_pieces, problems
    from serving.audit.signature import read_public_key, unsigned_lines
    from serving.promotion.config import models_outside_directory
    from serving.verify import check

    key = read_public_key(public_key) if public_key else None
    opened = AuditLog(log_file or serving_dir / AUDIT_FILE)
    if not opened.lines():
        raise AuditError(f"{opened.path} has no entries to compare with; name the audit log with --log")
    found = [f"audit log: {problem}" for problem in problems(opened, {}, copied=log_file is not None)]
    if key:
        found += [
            f"audit log: line {line.number}: the {line.entry.action} of version {line.entry.version} is not signed"
            for line in unsigned_lines(key, opened.lines())
            if line.entry and line.entry.action != PUSH  # The versions below have their pushes checked.
        ]
    checked = check(serving_dir, opened, key)
    whole = "as it was pushed" + (", signed with this key" if key else "")
    for version in checked:
        click.echo(
            strip_control_characters(f"{version.model}/{version.number}: {'; '.join(version.findings) or whole}")
        )
    for note in models_outside_directory(serving_dir) + (lost_pieces(opened) if log_file else []):
        click.echo(f"note: {strip_control_characters(note)}")
    found += [f"{version.model}/{version.number}: {finding}" for version in checked for finding in version.findings]
    if found:
        raise AuditError(list_problems(f"{serving_dir} is not what was pushed:", found))


def open_deployment(
    loaded: Loaded,
    address: str | None,
    tls: "Tls | None",
    timeout: float = _ANSWER_SECONDS,
    poll_seconds: float = 0.0,
) -> "tuple[Deployment, MetadataStore]":
    """Opens the serving directory in the settings, and the metadata store with its records.

    Args:
        loaded: the settings.
        address: host:port of a running server, or None.
        tls: TLS options of the connection to the server; None does not encrypt it.
        timeout: seconds to wait for the server.
        poll_seconds: seconds to wait for servers to read models.config.

    Raises:
        DataError: the directory is not on this machine, or no model has been pushed to it.
        SettingsError: a key cannot be used.
    """
    from pipeline.governance import deployment
    from serving.promotion import Server

    server = Server(address, timeout, tls) if address else None
    return deployment.open_deployment(loaded.settings, server=server, poll_seconds=poll_seconds, pause=_pause)


def _pause(seconds: float) -> None:
    click.echo(f"waiting {seconds:g} s: servers load the version before a label moves to it", err=True)
    time.sleep(seconds)


def _report(deployment: "Deployment", record: "Record") -> None:
    served = deployment.served()
    labels = ", ".join(f"{label} {version}" for label, version in sorted(served.labels.items(), reverse=True))
    # Without labels, the latest version is served, so the first label may move to the version in production.
    if record.to_version is None:
        done = f"Removed label {record.label} from version {record.from_version}."
    else:
        before = {None: "not set", record.to_version: "unlabelled"}
        was = before.get(record.from_version, f"version {record.from_version}")
        done = f"Moved label {record.label} to version {record.to_version} (was {was})."
    click.echo(f"{done} Record {record.id}, by {record.shown_who}.")
    click.echo(f"labels: {labels}; loaded: {', '.join(map(str, sorted(served.versions)))}")
    if deployment.server is None:
        click.echo(
            f"servers that poll {deployment.config_path} follow at their next poll; --server reloads one at once"
        )
    if served.unlabelled_version != served.production_version:
        click.echo(
            f"note: requests that name neither version nor label are answered by {served.unlabelled_version}, the "
            "highest loaded version; have clients ask for the label stable"
        )
    if served.labels.get("canary", -1) == served.production_version:
        click.echo(
            f"note: version {served.production_version} is both stable and canary, so no version is on trial; "
            "agnews versions end-canary removes the label canary"
        )
    _print_other_place(deployment)


def _print_other_place(deployment: "Deployment") -> None:
    if note := deployment.other_place():
        click.echo(f"note: {strip_control_characters(note)}")


def _print_versions(rows: "list[VersionOverview]", now: float, directory: Path) -> None:
    from rich.markup import escape

    console = make_console(180)
    table = make_table("version")
    for column in ("age", "MB", "accuracy"):
        table.add_column(column, justify="right")
    for column in ("labels", "served", "server", "pushed by", "last change"):
        if column != "server" or any(row.state for row in rows):
            table.add_column(column, overflow="fold")
    for row in rows:
        accuracy = row.metrics.get("accuracy")
        cells = [
            str(row.version.number),
            _age(now - row.version.pushed_at) + ("" if row.version.is_push_logged else " (file)"),
            f"{row.version.size / 1e6:,.1f}",
            "" if accuracy is None else f"{accuracy:.4f}",
            ", ".join(row.labels),
            f"no: {row.version.problem}" if row.version.problem else _describe_serving(row),
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


def _describe_serving(row: "VersionOverview") -> str:
    if row.in_production:
        return "in production"
    if row.answers_without_label:
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
    return f"{what}{ended}, {age} ago by {record.shown_who}{why}"


def _age(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return "0 s"


def _to_json_dict(row: "VersionOverview") -> dict[str, Any]:
    version = row.version
    return {
        "version": version.number,
        "path": str(version.path),
        "flaw": version.problem,
        "bytes": version.size,
        "pushed_at": datetime.fromtimestamp(version.pushed_at, UTC).isoformat(timespec="seconds"),
        "pushed_at_source": "audit log" if version.is_push_logged else "file",
        "model_id": version.model_id,
        "pushed_by": row.pushed_by,
        "data": row.source,
        "metrics": dict(row.metrics),
        "labels": list(row.labels),
        "in_production": row.in_production,
        "loaded": row.loaded,
        "answers_without_label": row.answers_without_label,
        "server_state": row.state,
        "changes": [
            {name: value for name, value in asdict(record).items() if name != "texts"} for record in row.records
        ],
    }
