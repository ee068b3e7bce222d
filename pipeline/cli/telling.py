"""What a command does to tell people: by the alerts that are set up, and of what could not be sent on the terminal."""

from pathlib import Path

import click

from pipeline.alerts import Event, notify
from pipeline.runners.logs import logged_to
from pipeline.settings import Settings
from schema.interruption import raise_if_interrupted


def tell(settings: Settings, event: Event, log: Path) -> None:
    """Sends an event, with the log open for what there is to say about it.

    Raises:
        Interrupted: a signal has told the process to end; then nothing is sent, for the event may be its consequence.
    """
    raise_if_interrupted()
    with logged_to(log, verbose=False):
        problems = notify(settings, event)
    for problem in problems:
        click.secho(problem, fg="yellow", err=True)
