"""Makes files and directories whose modes are set, not left to the umask.

Servers and approvers are other users than the pipeline, whose umask may be anything: 077 on a strict machine, 000 in
Argo's pods. The owner may write what is made here, and so may the group if it may write to the directory above: a team
shares a directory that way. No other user may.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

import filelock

FOR_ALL = 0o644
"""Mode of files that every user may read."""
FOR_GROUP = 0o640
"""Mode of files that the owner's group may read."""
_DIRECTORY = 0o755


def make_directory(directory: Path) -> None:
    """Makes a directory and its missing parents, which every user may read; one that exists stays as it is.

    Raises:
        OSError: the directory cannot be made, or a file is in its place.
    """
    directory = directory.absolute()
    if directory.is_dir():
        return
    make_directory(directory.parent)
    try:
        directory.mkdir(_DIRECTORY)
    except FileExistsError:
        # Another process may have been quicker.
        if not directory.is_dir():
            raise
    else:
        directory.chmod(_shared(directory, _DIRECTORY))


def make_readable(directory: Path) -> None:
    """Lets every user read a directory with all its files, and flushes it to disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fchmod(file.fileno(), _shared(directory, FOR_ALL))
                os.fsync(file.fileno())
        os.chmod(folder, _shared(directory, _DIRECTORY))
        flush_directory(Path(folder))


def create_file(path: Path, mode: int) -> None:
    """Creates an empty file; one that exists stays as it is, with its mode."""
    with suppress(FileExistsError), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)) as file:
        os.fchmod(file.fileno(), _shared(path, mode))


def replace_file(path: Path, content: bytes, mode: int | None = None) -> None:
    """Replaces a file in one step: a reader finds the old content or the new content, also after a loss of power.

    One writer at a time: the new content has a fixed name until it replaces the old one, so a killed writer leaves
    one file at most, which the next writer takes over.

    Args:
        path: the file.
        content: all of its new content.
        mode: FOR_ALL or FOR_GROUP; None leaves it to the umask.
    """
    incoming = path.with_name(f".{path.name}.incoming")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(incoming, flags, 0o666 if mode is None else mode), "wb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), _shared(path, mode))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    incoming.replace(path)
    flush_directory(path.parent)


def flush_directory(directory: Path) -> None:
    """Flushes a directory's entries to disk, so that a rename in it survives a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_lock(path: Path, timeout: float = -1) -> filelock.FileLock:
    """Returns a lock for those who may write to the file's directory.

    Args:
        path: the lock's file, made when the lock is acquired.
        timeout: seconds to wait for another holder; negative waits for as long as it takes.
    """
    return filelock.FileLock(path, timeout=timeout, mode=_shared(path, FOR_GROUP))


def deny_others_writing() -> None:
    """Takes from other users, for the rest of this process, the right to write files that it makes.

    This is for files that libraries make. Argo starts the containers of Kubeflow's pods with umask 000.
    """
    os.umask(os.umask(stat.S_IWOTH) | stat.S_IWOTH)


def _shared(path: Path, mode: int) -> int:
    """The mode with the group's right to write where the parent directory gives it, and a directory's setgid bit."""
    parent = path.parent.stat().st_mode
    return mode | parent & stat.S_IWGRP | (parent & stat.S_ISGID if mode == _DIRECTORY else 0)
