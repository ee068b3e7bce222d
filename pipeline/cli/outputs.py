"""Where a command writes: a place that cannot be written is a mistake in an option, told before the work it costs."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schema.errors import SettingsError


@contextmanager
def writing(option: str, place: Path) -> Iterator[None]:
    """Around what writes to the place that an option, or a setting, names.

    Raises:
        SettingsError: the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{option} {place}: {error.strerror or error}; name a place that can be written") from error


def check_file(option: str, file: Path) -> None:
    """Looks whether a file can be written, without a trace of it: the command may yet fail.

    Raises:
        SettingsError: it cannot.
    """
    with writing(option, file):
        if not file.exists():
            tempfile.TemporaryFile(dir=file.parent).close()
        elif not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def make_directory(option: str, directory: Path) -> None:
    """Makes a directory that can be written to.

    Raises:
        SettingsError: there is none.
    """
    with writing(option, directory):
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
