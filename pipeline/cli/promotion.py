"""`agnews promote`, `rollback` and `prune`: change which pushed versions are served and kept."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import settings_options
from pipeline.cli.output import strip_control_characters
from pipeline.cli.server_options import ServerAddress, tls_options
from pipeline.settings.sources import Loaded
from schema.errors import DataError
from serving.audit import identity, readable

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

    from serving.client import Tls
    from serving.promotion import Deployment, Record, Signature

# Timeout in seconds of a request for which the server does not load a version.
_ANSWER_SECONDS = 10.0


def running_server_options(command: Callable) -> Callable:
    """Adds `--server` and the TLS options to a command, and passes it `address`, None without a server, and `tls`."""
    server = click.option(
        "--server",
        "address",
        type=ServerAddress(),
        help="gRPC address of a running server, to query its state and to apply changes at once.",
    )
    return server(tls_options(command))


def signed_options(command: Callable) -> Callable:
    """Adds `--server`, TLS, `--by`, `--reason` and settings options to a command.

    The command receives `deployment` and `signature`.
    """

    @running_server_options
    @click.option("--by", help="Name to record with the change  [default: $AGNEWS_IDENTITY or user@host]")
    @click.option("--reason", default="", help="Reason to record.")
    @settings_options
    @functools.wraps(command)
    def with_options(
        *,
        loaded: Loaded,
        address: str | None,
        tls: "Tls | None",
        by: str | None,
        reason: str,
        timeout=_ANSWER_SECONDS,
        poll_seconds=0.0,
        **rest,
    ):
        from serving.promotion import Signature

        deployment, _ = open_deployment(loaded, address, tls, timeout, poll_seconds)
        signature = Signature(readable(by or identity()), readable(reason))
        return command(deployment=deployment, signature=signature, **rest)

    return with_options


def _waiting_options(command: Callable) -> Callable:
    """Adds `--timeout` and `--poll-seconds` to a command."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=120.0,
        show_default=True,
        help="With --server: seconds to wait for a version to be loaded.",
    )
    poll_seconds = click.option(
        "--poll-seconds",
        type=click.FloatRange(min=0),
        default=15.0,
        show_default=True,
        help="Without --server: seconds to wait for servers to read models.config.",
    )
    return timeout(poll_seconds(command))


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
    """
    pusher = loaded.settings.pusher
    destination = Path(pusher.destination)
    if "://" in pusher.destination:
        raise DataError(
            f"pusher.destination {pusher.destination} is an object store, where no file is replaced in one step; "
            "run this where it is mounted as a directory, with --set pusher.destination=DIRECTORY"
        )
    if not (destination / pusher.model_name).is_dir():
        raise DataError(
            f"{destination / pusher.model_name}: no model has been pushed; run agnews run, or set pusher.destination"
        )
    from pipeline.governance.audit_check import audit_log
    from pipeline.metadata.connection import connection_config, open_store
    from serving.promotion import Deployment, Server

    store = open_store(connection_config(loaded.settings))
    deployment = Deployment(
        destination,
        pusher.model_name,
        store,
        server=Server(address, timeout, tls) if address else None,
        poll_seconds=poll_seconds,
        pause=_pause,
        audit=audit_log(loaded.settings),
    )
    return deployment, store


def _pause(seconds: float) -> None:
    click.echo(f"waiting {seconds:g} s: servers load the version before a label moves to it", err=True)
    time.sleep(seconds)


@click.command(epilog="Example:  agnews promote 1795469554 --label canary --server localhost:8500")
@click.argument("version", type=click.IntRange(min=0))
@click.option("--label", type=click.Choice(["stable", "canary"]), required=True, help="The label to move to VERSION.")
@_waiting_options
@signed_options
def promote(deployment: "Deployment", signature: "Signature", version: int, label: str) -> None:
    """Move the label stable or canary to a version, and serve that version.

    `stable` is the version in production, `canary` a version on trial. The server loads VERSION first, and the label
    moves when it is ready. The previous production version stays loaded, so that `agnews rollback` takes effect
    immediately.
    """
    from serving import promotion

    record = promotion.promote(deployment, version, label, signature)
    if record is None:
        click.echo(f"version {version} is {label} already; nothing was changed")
        _tell_other_place(deployment)
    else:
        print_change(deployment, record)


@click.command(epilog="Example:  agnews rollback --reason 'finds no sports' --server localhost:8500")
@click.option(
    "--to", "version", type=click.IntRange(min=0), help="Version to restore  [default: the previous production version]"
)
@_waiting_options
@signed_options
def rollback(deployment: "Deployment", signature: "Signature", version: int | None) -> None:
    """Restore the previous production version.

    The current version loses its labels and is unloaded. To undo a rollback, promote a version.
    """
    from serving import promotion

    print_change(deployment, promotion.roll_back(deployment, version, signature))


@click.command(epilog="Example:  agnews prune --keep 5 --dry-run")
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="Minimum number of versions to keep, the highest ones."
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@signed_options
def prune(deployment: "Deployment", signature: "Signature", keep: int, dry_run: bool) -> None:
    """Delete old versions that are not in use.

    The command never deletes a version that is served or labelled, or that `agnews rollback` would restore.
    """
    from serving import promotion

    pruned = promotion.prune(deployment, keep, signature, dry_run=dry_run)
    for number, reason in pruned.kept.items():
        click.echo(f"kept {number}: {reason}")
    for number, size in pruned.removed.items():
        click.echo(f"{'would delete' if dry_run else 'deleted'} {number}, {size / 1e6:,.1f} MB")
    if not pruned.removed:
        click.echo("nothing to delete")


def print_change(deployment: "Deployment", record: "Record") -> None:
    """Prints what a change of a label did, and what the servers will do."""
    served = deployment.served()
    labels = ", ".join(f"{label} {version}" for label, version in sorted(served.labels.items(), reverse=True))
    # Without labels, the latest version is served, so the first label may move to the version in production.
    if record.to_version is None:
        click.echo(f"{record.label} was {record.from_version} and is removed; recorded as {record.id}, by {record.who}")
    else:
        came_from = {None: "no version", record.to_version: "no label"}.get(record.from_version, record.from_version)
        click.echo(
            f"{record.label} went from {came_from} to {record.to_version}; recorded as {record.id}, by {record.who}"
        )
    click.echo(f"labels: {labels}; loaded: {', '.join(map(str, sorted(served.versions)))}")
    if deployment.server is None:
        click.echo(
            f"servers that poll {deployment.config_path} follow at their next poll; --server reloads one at once"
        )
    if served.default != served.live:
        click.echo(
            f"note: requests that name neither version nor label are answered by {served.default}, the highest loaded "
            "version; have clients ask for the label stable"
        )
    _tell_other_place(deployment)


def _tell_other_place(deployment: "Deployment") -> None:
    if note := deployment.other_place():
        click.echo(f"note: {strip_control_characters(note)}")
