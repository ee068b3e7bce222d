"""Prints untrusted text, checks output paths, hides library output and sends alerts, for all commands."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from schema.errors import SettingsError
from schema.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from pipeline.alerts import Event
    from pipeline.settings import Settings


def strip_control_characters(text: str, replacement: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Replaces control characters, which could move the terminal's cursor and so hide other lines.

    Args:
        text: untrusted text, for instance a reason or a name.
        replacement: replacement of each character that cannot be printed, including line breaks and undecodable bytes.
    """
    return "".join(sign if sign.isprintable() else replacement for sign in text)


def hide_library_output() -> AbstractContextManager[TextIO]:
    """Hides library output in the `with` block; a log level would hide only part of TensorFlow's import messages."""
    from pipeline.runners.logs import logged_to

    return logged_to(Path(os.devnull), verbose=False)


@contextmanager
def report_write_errors(option: str, place: Path) -> Iterator[None]:
    """Reports write errors in the `with` block as an error of an option or a setting.

    Args:
        option: name of the option or setting.
        place: path that the block writes to.

    Raises:
        SettingsError: the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{option} {place}: {error.strerror or error}; name a place that can be written") from error


def check_file(option: str, file: Path) -> None:
    """Checks that a file can be written, and leaves no file behind if it does not exist yet.

    Raises:
        SettingsError: the file cannot be written.
    """
    with report_write_errors(option, file):
        if not file.exists():
            tempfile.TemporaryFile(dir=file.parent).close()
        elif not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_directory(option: str, directory: Path) -> None:
    """Creates a directory if it does not exist, and checks that it can be written.

    Raises:
        SettingsError: the directory cannot be created or written.
    """
    with report_write_errors(option, directory):
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()


def send_alert(settings: "Settings", event: "Event", log: Path) -> None:
    """Sends an event as an alert, and prints delivery problems; the details go to the log file.

    Raises:
        Interrupted: a signal has interrupted the process. Nothing is sent, because the signal may have caused the
            event.
    """
    from pipeline.alerts import notify
    from pipeline.runners.logs import logged_to

    raise_if_interrupted()
    with logged_to(log, verbose=False):
        problems = notify(settings, event)
    for problem in problems:
        click.secho(problem, fg="yellow", err=True)
