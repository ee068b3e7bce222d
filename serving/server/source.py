"""Which versions of a model lie in its base path, and which of them are to be served."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


def versions_on_disk(base_path: str) -> dict[int, str]:
    """Version numbers and directories under a base path; names that are no number are not versions.

    Raises:
        tf.errors.OpError: the base path is not there or cannot be listed.
        UnicodeDecodeError: a name in it is no text.
    """
    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(base_path))
    return {int(name): f"{base_path.rstrip('/')}/{name}" for name in names if name.isdecimal() and len(name) < 19}


def nothing_to_serve(base_path: str) -> str:
    """Why no version under a base path is served, and which path to name instead.

    Raises:
        tf.errors.OpError: the base path cannot be listed.
        UnicodeDecodeError: a name in it is no text.
    """
    base = base_path.rstrip("/")
    if not tf.io.gfile.exists(base):
        return f"{base} does not exist: create it, or name the directory that holds the versions"
    if not tf.io.gfile.isdir(base):
        return f"{base} is no directory: name the one that holds the versions"
    above, _, name = base.rpartition("/")
    if tf.io.gfile.exists(f"{base}/saved_model.pb"):
        if name.isdecimal():
            return f"{base} is itself a version: name the directory above it, {above or '.'}"
        return f"{base} is itself a SavedModel: move it to {base}/1, since a version is a directory named by a number"
    if there := versions_on_disk(base):
        return f"the policy asks for none of the versions in {base}: {', '.join(map(str, sorted(there)))}"
    for name in sorted(tf.io.gfile.listdir(base)):
        below = f"{base}/{name.rstrip('/')}"
        if tf.io.gfile.isdir(below) and versions_on_disk(below):
            return f"the versions are one level below: name {below}"
    return f"{base} holds no version: a version is a directory named by a number, such as {base}/1"


def aspired(versions: Mapping[int, str], policy: Any, failing: Callable[[int], bool]) -> dict[int, str]:
    """The versions that the policy wants served.

    A version that fails to load is still tried, but does not count against `latest`: the one before it is wanted as
    long, so a server that starts beside a broken newest version serves the newest good one.

    Args:
        versions: what is on disk.
        policy: a Policy: latest (the default: one), all or specific.
        failing: whether a version's files, as they are, could not be loaded.
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(versions)
    if choice == "specific":
        return {version: versions[version] for version in policy.specific.versions if version in versions}
    wanted: dict[int, str] = {}
    missing = max(policy.latest.num_versions, 1)
    for version in sorted(versions, reverse=True):
        if missing == 0:
            break
        wanted[version] = versions[version]
        missing -= not failing(version)
    return wanted


def fingerprint(directory: str) -> tuple[tuple[str, int, int], ...]:
    """Paths, sizes and times (ns) of a version's files: another value means that the files changed.

    What cannot be read is left out; it is another value when it can be read.
    """
    found = []
    # A folder that may not be listed, or holds a name that is no text, ends the walk.
    with contextlib.suppress(tf.errors.OpError, UnicodeDecodeError):
        for folder, _, names in tf.io.gfile.walk(directory):
            for name in names:
                path = f"{folder}/{name}"
                # Removed since it was listed, or a link to nowhere.
                with contextlib.suppress(tf.errors.OpError):
                    stat = tf.io.gfile.stat(path)
                    found.append((path, stat.length, stat.mtime_nsec))
    return tuple(sorted(found))
