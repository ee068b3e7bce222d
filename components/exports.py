"""Reads exports and pushed versions, local or in an object store: their files, their author, their versions."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from schema.model_contract import FINGERPRINT, TRAINING_FACTS
from serving.audit import manifest
from serving.versions import names_by_version


def files_of(export: str) -> dict[str, str]:
    """Returns the SHA-256 of each file of a SavedModel by path, see `serving.audit.manifest`.

    Args:
        export: path or URI of the directory.
    """
    with _local(export) as directory:
        return manifest(directory)


def author_of(export: str) -> str:
    """Returns who trained a SavedModel, empty if unknown.

    Args:
        export: path or URI of the directory.
    """
    with _local(export) as directory:
        facts = directory / TRAINING_FACTS
        return str(json.loads(facts.read_text(encoding="utf-8")).get("trained_by", "")) if facts.exists() else ""


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


@contextmanager
def _local(directory: str) -> Iterator[Path]:
    if "://" not in directory:
        yield Path(directory)
        return
    with tempfile.TemporaryDirectory() as copy:
        io_utils.copy_dir(directory, copy)
        yield Path(copy)
