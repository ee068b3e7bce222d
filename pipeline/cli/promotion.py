"""`agnews promote`, `rollback` and `prune`: which pushed version is served."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import settings_options
from pipeline.cli.printable import printable
from pipeline.cli.server_options import ServerAddress, tls_options
from pipeline.settings.sources import Loaded
from schema.errors import DataError
from serving.audit import identity, readable

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

    from serving.client import Tls
    from serving.promotion import Deployment, Record, Signature

# Seconds that a server may take to answer when nothing has to be loaded.
_ANSWER_SECONDS = 10.0


def running_server_options(command: Callable) -> Callable:
    """Adds `--server` and the options of TLS; passes `address`, None without a server, and `tls`."""
    server = click.option(
        "--server",
        "address",
        type=ServerAddress(),
        help="gRPC address of a running server to ask, and to tell of a change.",
    )
    return server(tls_options(command))


def _signed_options(command: Callable) -> Callable:
    """Adds `--server`, TLS, `--by`, `--reason` and the settings' options; passes `deployment` and `signature`."""

    @running_server_options
    @click.option("--by", help="Who makes the change, for the record  [default: $AGNEWS_IDENTITY or user@host]")
    @click.option("--reason", default="", help="Why, for the record.")
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
    """Adds `--timeout` and `--poll-seconds`."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=120.0,
        show_default=True,
        help="With --server: seconds that it may take to load a version.",
    )
    poll_seconds = click.option(
        "--poll-seconds",
        type=click.FloatRange(min=0),
        default=15.0,
        show_default=True,
        help="Without --server: seconds within which servers have read models.config.",
    )
    return timeout(poll_seconds(command))


def open_deployment(
    loaded: Loaded,
    address: str | None,
    tls: "Tls | None",
    timeout: float = _ANSWER_SECONDS,
    poll_seconds: float = 0.0,
) -> "tuple[Deployment, MetadataStore]":
    """The serving directory that the settings name, and the metadata store that keeps its records.

    Args:
        loaded: the settings.
        address: host:port of a running server, or None.
        tls: how the connection to it is encrypted; None: it is not.
        timeout: seconds that it may take.
        poll_seconds: seconds within which servers have read models.config.

    Raises:
        DataError: there is no such directory on this machine.
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
@click.option(
    "--label", type=click.Choice(["stable", "canary"]), required=True, help="The label that moves to VERSION."
)
@_waiting_options
@_signed_options
def promote(deployment: "Deployment", signature: "Signature", version: int, label: str) -> None:
    """Move a label to VERSION and have it served.

    Clients that ask for `stable` get the version in production, those that ask for `canary` the one on trial. The
    version is loaded beside what is served, and the label moves when it is there. The version that was in production
    before stays loaded, so that `agnews rollback` takes effect at once.
    """
    from serving import promotion

    record = promotion.promote(deployment, version, label, signature)
    if record is None:
        click.echo(f"version {version} is {label} already; nothing was changed")
        _tell_other_place(deployment)
    else:
        _report(deployment, record)


@click.command(epilog="Example:  agnews rollback --reason 'finds no sports' --server localhost:8500")
@click.option("--to", "version", type=click.IntRange(min=0), help="Version  [default: in production before, by record]")
@_waiting_options
@_signed_options
def rollback(deployment: "Deployment", signature: "Signature", version: int | None) -> None:
    """Go back to the version that was in production before.

    The version that is left loses its labels and is unloaded. To go forward again, promote another one.
    """
    from serving import promotion

    _report(deployment, promotion.roll_back(deployment, version, signature))


@click.command(epilog="Example:  agnews prune --keep 5 --dry-run")
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Versions to keep at least, the highest ones.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@_signed_options
def prune(deployment: "Deployment", signature: "Signature", keep: int, dry_run: bool) -> None:
    """Delete old versions, never one that is served, labelled, or that `agnews rollback` leads to."""
    from serving import promotion

    pruned = promotion.prune(deployment, keep, signature, dry_run=dry_run)
    for number, reason in pruned.kept.items():
        click.echo(f"kept {number}: {reason}")
    for number, size in pruned.removed.items():
        click.echo(f"{'would delete' if dry_run else 'deleted'} {number}, {size / 1e6:,.1f} MB")
    if not pruned.removed:
        click.echo("nothing to delete")


def _report(deployment: "Deployment", record: "Record") -> None:
    served = deployment.served()
    labels = ", ".join(f"{label} {version}" for label, version in sorted(served.labels.items(), reverse=True))
    # Without labels the latest version is served: the first label may well go to that one.
    came_from = {None: "no version", record.to_version: "no label"}.get(record.from_version, record.from_version)
    click.echo(f"{record.label} went from {came_from} to {record.to_version}; recorded as {record.id}, by {record.who}")
    click.echo(f"labels: {labels}; loaded: {', '.join(map(str, sorted(served.versions)))}")
    if deployment.server is None:
        click.echo(f"servers that poll {deployment.config_path} follow at their next look; --server tells one at once")
    if served.default != served.live:
        click.echo(
            f"note: requests that name neither version nor label are answered by {served.default}, the highest loaded "
            "version; have clients ask for the label stable"
        )
    _tell_other_place(deployment)


def _tell_other_place(deployment: "Deployment") -> None:
    if note := deployment.other_place():
        click.echo(f"note: {printable(note)}")
