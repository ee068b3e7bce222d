"""`agnews finish`: ends a run of an orchestrator."""

import json
import sys
from contextlib import redirect_stdout

import click

from pipeline.alerts import Event, Kind, notify
from pipeline.cli.component import end_with_status
from pipeline.cli.options import settings_options
from pipeline.settings.sources import Loaded


@click.command(epilog="Example:  agnews finish --run 2026-03-01 --status FAILED --profile sample")
@click.option("--run", "run_id", required=True, help="Name of the run.")
@click.option("--status", required=True, help="Status of the run's tasks: a word, or JSON with the key state.")
@click.option("--log", help="Where people find the logs of the run, for alerts.")
@end_with_status
@settings_options
def finish(loaded: Loaded, run_id: str, status: str, log: str | None) -> None:
    """Send the alert of a failed run whose component could not, for an orchestrator's last task.

    A component that is killed, for instance because its node ran out of memory, sends no alert itself.
    """
    try:
        state = json.loads(status)["state"]
    except (ValueError, TypeError, KeyError):
        state = status
    if state == "SUCCEEDED":
        return
    with redirect_stdout(sys.stderr):
        from pipeline.runners.component import unexplained_end

        component = unexplained_end(loaded.settings, run_id)
    if component:
        message = f"{component} has not finished (status {state}); its log says why, or its process was killed"
        notify(loaded.settings, Event(Kind.FAILED, run_id, message, log or f"the log of {component}"))
