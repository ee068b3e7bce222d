"""`agnews export`: sends what the metadata store knows to other tools."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import hide_library_output, report_write_errors
from pipeline.settings.sources import Loaded
from schema.errors import SettingsError
from schema.paths import is_address
from schema.wording import amount

if TYPE_CHECKING:
    from pipeline.metadata.store_reader import StoreReader
    from pipeline.settings import Settings

_MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
_run_option = click.option(
    "--run", "runs", multiple=True, metavar="NAME", help="Run to export; may be repeated.  [default: all runs]"
)


@click.group(epilog="Example:  agnews export openlineage --to events.jsonl")
def export() -> None:
    """Send runs, data sets, models and pushes to a lineage server or an experiment tracker."""


@export.command(epilog="Example:  agnews export openlineage --to events.jsonl")
@click.option(
    "--to",
    "target",
    type=LocalPath(path_type=str),
    metavar="FILE|URL",
    help="File of JSON lines, which is replaced, or address of a server  [default: the client's configuration, for "
    "instance $OPENLINEAGE_URL]",
)
@_run_option
@click.option(
    "--namespace", default="agnews", show_default=True, help="Namespace of the jobs; one for each metadata store."
)
@settings_options
def openlineage(loaded: Loaded, target: str | None, runs: tuple[str, ...], namespace: str) -> None:
    """Send runs as OpenLineage events.

    Each run and each of its components is a job run, with START and COMPLETE, FAIL or ABORT, the data sets that it read
    and made, and the verdicts on models. A second export sends the same events.

    A server's key is read from $OPENLINEAGE_API_KEY. Needs agnews-pipeline[lineage].
    """
    with hide_library_output():
        try:
            from pipeline.exports.openlineage import run_events, send
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith("openlineage"):
                raise
            raise SettingsError(
                "agnews export openlineage needs the package openlineage-python: install agnews-pipeline[lineage]"
            ) from error

        reader = _read_store(loaded.settings, runs)
        with report_write_errors("--to", Path(target or "")):
            count = send(run_events(reader, loaded.settings.pipeline.name, namespace, runs), target)
    click.echo(amount(count, "event") + (f": {target}" if target and not is_address(target) else " sent"))


@export.command(epilog="Example:  agnews export mlflow --to http://localhost:5000")
@click.option(
    "--to",
    "address",
    metavar="URL",
    envvar=_MLFLOW_ADDRESS,
    help=f"Address of the tracking server  [default: ${_MLFLOW_ADDRESS}]",
)
@_run_option
@click.option("--experiment", help="Name of the experiment  [default: the setting pipeline.name]")
@settings_options
def mlflow(loaded: Loaded, address: str | None, runs: tuple[str, ...], experiment: str | None) -> None:
    """Write runs and pushed versions to an MLflow tracking server.

    A run has the parameters, the metrics of each epoch and of the test rows, and tags. A pushed version is registered
    as a version of the model pusher.model_name. A second export writes only what is new or has changed.

    The log-in is read from $MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD, or $MLFLOW_TRACKING_TOKEN.
    """
    settings = loaded.settings
    if not address or not is_address(address):
        raise SettingsError(f"{address or 'no address'}: use --to http://HOST:PORT, or set {_MLFLOW_ADDRESS} to it")
    with hide_library_output():
        from pipeline.exports.mlflow import TrackingServer
        from pipeline.exports.tracked_runs import tracked_runs

        snapshot = _read_store(settings, runs).snapshot()
        with TrackingServer(address) as server:
            found = server.export(
                tracked_runs(snapshot, runs), experiment or settings.pipeline.name, settings.pusher.model_name
            )
    click.echo(
        f"{amount(found.written, 'run')} written, {found.unchanged:,} unchanged, "
        f"{amount(found.registered, 'version')} registered"
    )


def _read_store(settings: "Settings", names: Sequence[str]) -> "StoreReader":
    """Opens the metadata store, and refuses a missing one, and a name of a run that it does not have."""
    from pipeline.metadata.connection import connection_config, required_store
    from pipeline.metadata.store_reader import StoreReader

    required_store(settings)
    reader = StoreReader(connection_config(settings))
    known = {run.name for run in reader.snapshot().runs.values()}
    if unknown := sorted(set(names) - known):
        raise SettingsError(f"--run {unknown[0]}: the metadata store has no such run; `agnews review` lists the runs")
    return reader
