"""Waits for another process that has locked an embedded metadata store: ML Metadata would wait forever, silently."""

import fcntl
import os
import struct
import time
from functools import cache
from pathlib import Path

from schema.errors import StoreError
from schema.interruption import print_to_terminal, raise_if_interrupted

SAY_AFTER_SECONDS = 3.0
GIVE_UP_AFTER_SECONDS = 60.0
_POLL_SECONDS = 0.05
# The bytes that SQLite locks, see https://www.sqlite.org/src/file/src/os.h. A lock on the second one is that of the
# process that prepares a change; others may still read.
_FIRST_BYTE = 0x40000000
_BYTES = 512
# C's struct flock on Linux: type, whence, start, length, process.
_FLOCK = "@hhqqi4x"


def wait_for_store(path: Path, *, to_write: bool) -> None:
    """Waits until no other process prevents the use of an embedded store; says so after `SAY_AFTER_SECONDS`.

    Args:
        path: file of the store; a missing one is free.
        to_write: wait for a process that prepares a change as well.

    Raises:
        StoreError: the store is still locked after `GIVE_UP_AFTER_SECONDS`; the message names the process.
    """
    began, said = time.monotonic(), False
    while holder := _holder(path, to_write):
        waited = time.monotonic() - began
        raise_if_interrupted()
        if waited > GIVE_UP_AFTER_SECONDS:
            raise StoreError(
                f"the metadata store {path} is still locked after {GIVE_UP_AFTER_SECONDS:g} s by process {holder}; "
                "wait until that process has finished, or end it, and repeat"
            )
        if waited > SAY_AFTER_SECONDS and not said:
            print_to_terminal(
                f"waiting up to {GIVE_UP_AFTER_SECONDS:g} s for the metadata store {path}, which process {holder} "
                "has locked"
            )
            said = True
        time.sleep(_POLL_SECONDS)


def _holder(path: Path, to_write: bool) -> int | None:
    """Returns the process that has locked the store, or None if it is free. SQLite's library cannot name it."""
    try:
        status = os.stat(path)
        descriptor = _open(str(path), status.st_dev, status.st_ino)
    except OSError:  # ML Metadata reports what is wrong with the file.
        return None
    # A process that reads locks the shared bytes for reading, which conflicts only with a lock for writing.
    questions = [(fcntl.F_RDLCK, _FIRST_BYTE, 1), (fcntl.F_RDLCK, _FIRST_BYTE + 2, _BYTES - 2)]
    if to_write:
        questions.append((fcntl.F_WRLCK, _FIRST_BYTE + 1, 1))
    for kind, start, length in questions:
        question = struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0)
        found, *_, process = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
        if found != fcntl.F_UNLCK:
            return process
    return None


@cache
def _open(path: str, device: int, inode: int) -> int:
    """Opens a store and never closes it: closing it would release the locks that ML Metadata has in this process."""
    return os.open(path, os.O_RDONLY)
