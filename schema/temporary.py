"""Temporary directories that the next process removes if their own was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Nobody else gives a directory this name, so what has it may be deleted.
_PREFIX = ".agnews-temporary-"


@contextmanager
def temporary_directory() -> Iterator[str]:
    """Creates a directory in TMPDIR, and first removes those of killed processes; yields its path.

    A process locks its directory, and the kernel releases the lock when the process ends, also in another container
    that shares TMPDIR.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    while True:
        directory = tempfile.mkdtemp(prefix=_PREFIX)
        descriptor = _lock(directory)
        if descriptor is not None:
            break
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def _remove_abandoned(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        if directory.is_symlink() or not directory.is_dir() or directory.stat().st_uid != os.geteuid():
            continue
        if (descriptor := _lock(str(directory))) is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(descriptor)


def _lock(directory: str) -> int | None:
    """Locks a directory; returns its descriptor, or None if another process has locked or removed it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed it before it was locked.
        if os.stat(directory).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    os.close(descriptor)
    return None
