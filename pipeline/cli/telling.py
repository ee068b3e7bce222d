"""Sends alerts from a command, and prints those that could not be delivered."""

from pathlib import Path

import click

from pipeline.alerts import Event, notify
from pipeline.runners.logs import logged_to
from pipeline.settings import Settings
from schema.interruption import raise_if_interrupted


def tell(settings: Settings, event: Event, log: Path) -> None:
    """Sends an event as an alert, and prints delivery problems; the details go to the log file.

    Raises:
        Interrupted: a signal has interrupted the process. Nothing is sent, because the signal may have caused the
            event.
    """
    raise_if_interrupted()
    with logged_to(log, verbose=False):
        problems = notify(settings, event)
    for problem in problems:
        click.secho(problem, fg="yellow", err=True)
