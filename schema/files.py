"""Creates files and directories with explicit modes, whatever the umask.

Servers and approvers are other users than the pipeline, whose umask can be anything: 077 on a strict machine, 000 in
Argo's pods. The owner may write to the files and directories created here, and the group may if it can write to the
parent directory, which is how a team shares a directory. Other users may not write.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import filelock

FOR_ALL = 0o644
"""Mode of files that every user may read."""
FOR_GROUP = 0o640
"""Mode of files that the owner's group may read."""
FOR_OWNER = 0o600
"""Mode of files that only the owner may read."""
_DIRECTORY = 0o755
MAX_SMALL_FILE = 1 << 20
"""Bytes that `read_small_file` reads at most."""


def make_directory(directory: Path) -> None:
    """Creates a directory and its missing parents, readable by every user; an existing one stays unchanged.

    Raises:
        OSError: the directory cannot be created, or a file with this name exists.
    """
    directory = directory.absolute()
    if directory.is_dir():
        return
    make_directory(directory.parent)
    try:
        directory.mkdir(_DIRECTORY)
    except FileExistsError:
        # Another process may have created it first.
        if not directory.is_dir():
            raise
    else:
        directory.chmod(_shared_mode(directory, _DIRECTORY))


def make_readable(directory: Path) -> None:
    """Makes a directory and all its files readable by every user, and flushes them to disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fchmod(file.fileno(), _shared_mode(directory, FOR_ALL))
                os.fsync(file.fileno())
        os.chmod(folder, _shared_mode(directory, _DIRECTORY))
        flush_directory(Path(folder))


def create_file(path: Path, mode: int) -> None:
    """Creates an empty file; an existing file stays unchanged, including its mode."""
    with suppress(FileExistsError), open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)) as file:
        os.fchmod(file.fileno(), _shared_mode(path, mode))


def replace_file(path: Path, content: bytes, mode: int | None = None, *, follow_links: bool = False) -> None:
    """Replaces a file atomically: readers see the old or the new content, even after a power failure.

    Only one process may write at a time. The new content has a fixed name until it replaces the old one, so a killed
    writer leaves at most one file, which the next writer overwrites. A device or a pipe is written to directly.

    Args:
        path: the file.
        content: the whole new content.
        mode: FOR_ALL or FOR_GROUP; None applies the umask.
        follow_links: replace the file that a link leads to, for files that a user named, such as a link in place of
            `/dev/stdout`. Otherwise the link is replaced: in a shared directory, it may be another user's.
    """
    if path.exists() and not path.is_file():
        # A device or a pipe is written to, as a shell does; replaced by a file, it would be lost for everybody.
        path.write_bytes(content)
        return
    # Path.resolve() raises RuntimeError for a link that leads to itself.
    path = Path(os.path.realpath(path)) if follow_links else path
    incoming = path.with_name(f".{path.name}.incoming")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with open(os.open(incoming, flags, 0o666 if mode is None else mode), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), _shared_mode(path, mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        incoming.replace(path)
    except OSError:
        with suppress(OSError):
            incoming.unlink()
        raise
    flush_directory(path.parent)


def read_small_file(path: Path) -> bytes:
    """Returns the content of a file or pipe that a person wrote: settings, a key, a password.

    Raises:
        OSError: it cannot be read, or has more than MAX_SMALL_FILE bytes, as an endless device has.
    """
    with open(path, "rb") as file:
        content = file.read(MAX_SMALL_FILE + 1)
    if len(content) > MAX_SMALL_FILE:
        raise OSError(errno.EFBIG, f"it has more than {MAX_SMALL_FILE} bytes", str(path))
    return content


def require_regular_file(path: Path) -> None:
    """Refuses devices, pipes and directories, which can be endless or can be read only once.

    Raises:
        OSError: the path names no file, or not a regular one.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def flush_directory(directory: Path) -> None:
    """Flushes a directory's entries to disk, so that a rename in it survives a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_lock(path: Path, timeout: float = -1) -> "filelock.FileLock":
    """Returns a lock that every user who may write to the file's directory can acquire.

    Args:
        path: the lock file, created when the lock is acquired.
        timeout: seconds to wait for another holder; a negative number waits forever.
    """
    # Elsewhere, this module needs only the standard library, so that a training needs only TensorFlow.
    import filelock

    return filelock.FileLock(path, timeout=timeout, mode=_shared_mode(path, FOR_GROUP))


def deny_others_writing() -> None:
    """Changes the umask of this process so that other users cannot write to files that libraries create.

    Argo starts the containers of Kubeflow's pods with umask 000.
    """
    os.umask(os.umask(stat.S_IWOTH) | stat.S_IWOTH)


def _shared_mode(path: Path, mode: int) -> int:
    """Returns the mode, plus group write and, for directories, setgid if the parent directory has them."""
    parent = path.parent.stat().st_mode
    return mode | parent & stat.S_IWGRP | (parent & stat.S_ISGID if mode == _DIRECTORY else 0)
