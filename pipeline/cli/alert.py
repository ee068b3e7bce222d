"""`agnews alert`: sends an alert for an orchestrator."""

import click

from pipeline.alerts import Event, Kind, notify
from pipeline.cli.options import settings_options
from pipeline.settings.sources import Loaded
from schema.errors import RunError


@click.command(epilog="Example:  agnews alert late 2026-03-01 'not finished after 12 hours'")
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.argument("run_id", metavar="RUN")
@click.argument("message")
@click.option("--log", default="unknown", help="Where people find the log of the run.")
@settings_options
def alert(loaded: Loaded, kind: str, run_id: str, message: str, log: str) -> None:
    """Send an alert about a run, for an orchestrator: through the channels of alerts.*, if alerts.events has its kind.

    `agnews run` and `agnews component` send their alerts themselves; only an orchestrator knows that a run is late.
    """
    if problems := notify(loaded.settings, Event(Kind(kind), run_id, message, log)):
        raise RunError("\n".join(problems))
