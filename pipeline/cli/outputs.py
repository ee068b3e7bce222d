"""Checks output paths before expensive work starts, and reports a bad one as an option error."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schema.errors import SettingsError


@contextmanager
def writing(option: str, place: Path) -> Iterator[None]:
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
    with writing(option, file):
        if not file.exists():
            tempfile.TemporaryFile(dir=file.parent).close()
        elif not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_directory(option: str, directory: Path) -> None:
    """Creates a directory if it does not exist, and checks that it can be written.

    Raises:
        SettingsError: the directory cannot be created or written.
    """
    with writing(option, directory):
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
