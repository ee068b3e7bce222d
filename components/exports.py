"""Lists and compares pushed versions, local or in an object store."""

import os

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from schema.model_contract import FINGERPRINT
from serving.versions import names_by_version


def version_numbers(directory: str) -> list[int]:
    """Returns the numbers of the versions in a model's directory, lowest first; none if it does not exist."""
    if not fileio.exists(directory):
        return []
    return sorted(names_by_version(name.rstrip("/") for name in fileio.listdir(directory)))


def same_export(one: str, other: str) -> bool:
    """Returns whether two directories hold the same SavedModel."""
    # SavedModel's own fingerprint contains a random id of the export, so no two exports have the same.
    paths = [os.path.join(directory, FINGERPRINT) for directory in (one, other)]
    if not all(fileio.exists(path) for path in paths):
        return False
    ours, theirs = (io_utils.read_bytes_file(path) for path in paths)
    return ours == theirs
