"""Version directories of a model: which exist, which of them a server can load, and whether their files changed.

TensorFlow Serving loads every directory below a model's base path whose name is a number.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schema.model_contract import MLMD_UUID, SAVED_MODEL

_NUMBER = re.compile(r"[0-9]+")
_MAX_NUMBER = (1 << 63) - 1


@dataclass(frozen=True)
class PushedVersion:
    """A version directory on a local disk.

    Attributes:
        number: version number.
        path: directory of the version.
        problem: reason why no server can load it, or None if it is complete.
        size: bytes on disk.
        pushed_at: time of the push in seconds since the epoch.
        is_push_logged: whether that time is from the audit log; otherwise it is a file's date, which copies change.
        model_id: id of its Model artifact in the metadata store, or None if the version does not record one.
    """

    number: int
    path: Path
    problem: str | None
    size: int
    pushed_at: float
    model_id: int | None
    is_push_logged: bool = False


def names_by_version(names: Iterable[str]) -> dict[int, list[str]]:
    """Groups the file names that are version numbers by number, in alphabetical order.

    Several names can mean the same version: servers read "07" as version 7 too.

    Args:
        names: file names in a model's directory. Other names, and numbers that an int64 cannot hold, are ignored.
    """
    found: dict[int, list[str]] = {}
    for name in sorted(filter(str.isdecimal, names)):
        # Python refuses to convert thousands of digits.
        if len(digits := name.lstrip("0")) < 20 and (number := int(digits or "0")) <= _MAX_NUMBER:
            found.setdefault(number, []).append(name)
    return found


def list_versions(base_path: str) -> dict[int, str]:
    """Returns the directory of each version that a server finds below a base path.

    Args:
        base_path: local path or URI that TensorFlow can read.

    Raises:
        tf.errors.OpError: the base path does not exist or cannot be listed.
        UnicodeDecodeError: it contains a name that is not UTF-8.
    """
    from tensorflow.io import gfile

    names = (name.rstrip("/") for name in gfile.listdir(base_path))
    return {number: f"{base_path.rstrip('/')}/{same[-1]}" for number, same in names_by_version(names).items()}


def explain_no_versions(base_path: str) -> str:
    """Returns the reason why no version below a base path is served, and which path to give instead.

    Args:
        base_path: local path or URI that TensorFlow can read.

    Raises:
        tf.errors.OpError: the base path cannot be listed.
        UnicodeDecodeError: it contains a name that is not UTF-8.
    """
    from tensorflow.io import gfile

    base = base_path.rstrip("/")
    if not gfile.exists(base):
        return f"{base} does not exist: create it, or give the directory that contains the versions"
    if not gfile.isdir(base):
        return f"{base} is not a directory: give the directory that contains the versions"
    parent, _, name = base.rpartition("/")
    if gfile.exists(f"{base}/{SAVED_MODEL}"):
        if name.isdecimal():
            return f"{base} is itself a version: give its parent directory, {parent or '.'}"
        return f"{base} is itself a SavedModel: move it to {base}/1, because a version is a directory named by a number"
    if versions := list_versions(base):
        return f"the version policy selects none of the versions in {base}: {', '.join(map(str, sorted(versions)))}"
    for name in sorted(gfile.listdir(base)):
        below = f"{base}/{name.rstrip('/')}"
        if gfile.isdir(below) and list_versions(below):
            return f"the versions are one level below: give {below}"
    return f"{base} contains no version: a version is a directory named by a number, such as {base}/1"


def fingerprint(directory: str) -> tuple[tuple[str, int, int], ...]:
    """Returns the path, size and modification time (ns) of each file of a version.

    The result changes when the files change. Unreadable files are left out, so it also changes when they become
    readable.

    Args:
        directory: local path or URI that TensorFlow can read.
    """
    import tensorflow as tf

    files = []
    # An unreadable directory, or a name that is not UTF-8, ends the walk.
    with contextlib.suppress(tf.errors.OpError, UnicodeDecodeError):
        for folder, _, names in tf.io.gfile.walk(directory):
            for name in names:
                path = f"{folder}/{name}"
                # The file was removed after it was listed, or is a dangling link.
                with contextlib.suppress(tf.errors.OpError):
                    stat = tf.io.gfile.stat(path)
                    files.append((path, stat.length, stat.mtime_nsec))
    return tuple(sorted(files))


def pushed_versions(directory: Path) -> dict[int, PushedVersion]:
    """Returns the versions in a model's directory by number, lowest first.

    Names with leading zeros are left out: no push creates them, and they would hide the version of the same number.

    Args:
        directory: `<destination>/<model name>`. A missing directory has no versions.
    """
    names = names_by_version(os.listdir(directory)) if directory.is_dir() else {}
    paths = {number: directory / str(number) for number in sorted(names) if str(number) in names[number]}
    return {number: _read(number, path) for number, path in paths.items() if path.is_dir()}


def loadable(versions: Mapping[int, PushedVersion]) -> list[int]:
    """Returns the numbers of the versions that a server can load, lowest first."""
    return [number for number, version in versions.items() if version.problem is None]


def _read(number: int, path: Path) -> PushedVersion:
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    return PushedVersion(
        number=number,
        path=path,
        problem=_find_problem(path),
        size=sum(file.stat().st_size for file in files if file.is_file()),
        pushed_at=_pushed_at(path),
        model_id=_model_id(path),
    )


def _find_problem(path: Path) -> str | None:
    graph = path / SAVED_MODEL
    if not graph.is_file() or not graph.stat().st_size:
        return f"it has no {SAVED_MODEL}"
    variables = path / "variables"
    if variables.is_dir() and not {"variables.index"} < set(os.listdir(variables)):
        return "its variables are incomplete"
    return None


def _pushed_at(path: Path) -> float:
    # A copy of an export keeps the time of its directory. The Pusher writes this file at the push.
    stamp = path / MLMD_UUID
    return (stamp if stamp.exists() else path).stat().st_mtime


def _model_id(path: Path) -> int | None:
    try:
        text = (path / MLMD_UUID).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if _NUMBER.fullmatch(text) else None
