"""The files of an export, wherever it lies: what its fingerprint is made of, and who trained it."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfx.utils import io_utils

from schema.audit import manifest

# The Trainer's facts, in the export itself.
_FACTS = "assets.extra/training.json"


def files_of(export: str) -> dict[str, str]:
    """SHA-256 of each file of a SavedModel by its path; see `schema.audit.manifest`.

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
        facts = directory / _FACTS
        return str(json.loads(facts.read_text(encoding="utf-8")).get("trained_by", "")) if facts.exists() else ""


@contextmanager
def _local(directory: str) -> Iterator[Path]:
    if "://" not in directory:
        yield Path(directory)
        return
    with tempfile.TemporaryDirectory() as copy:
        io_utils.copy_dir(directory, copy)
        yield Path(copy)
