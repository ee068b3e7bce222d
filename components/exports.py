"""Exports and pushed versions, wherever they lie: what their fingerprint is made of, and who trained them."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components.artifact_files import first_missing
from schema.model_contract import FINGERPRINT, SAVED_MODEL_FILES, TRAINING_FACTS
from serving.audit import manifest


def files_of(export: str) -> dict[str, str]:
    """SHA-256 of each file of a SavedModel by its path; see `serving.audit.manifest`.

    Args:
        export: a directory, local or of an object store.
    """
    with _local(export) as directory:
        return manifest(directory)


def author_of(export: str) -> str:
    """Who trained a SavedModel; empty when it does not say.

    Args:
        export: a directory, local or of an object store.
    """
    with _local(export) as directory:
        facts = directory / TRAINING_FACTS
        return str(json.loads(facts.read_text(encoding="utf-8")).get("trained_by", "")) if facts.exists() else ""


def version_numbers(directory: str) -> list[int]:
    """Numbers of the versions below a directory that TensorFlow Serving watches, in order; none where it is not."""
    if not fileio.exists(directory):
        return []
    names = (name.rstrip("/") for name in fileio.listdir(directory))
    return sorted(int(name) for name in names if name.isdecimal())


def pushed_versions(directory: str) -> Iterator[str]:
    """Directories of the versions that are there whole, the newest first."""
    for number in reversed(version_numbers(directory)):
        version = os.path.join(directory, str(number))
        if first_missing(version, SAVED_MODEL_FILES) is None:
            yield version


def same_export(one: str, other: str) -> bool:
    """Whether two directories hold the same SavedModel."""
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
