"""Reads files of artifacts, and checks whether they exist: the metadata store does not notice when they are deleted.

The files of a trained model are also compared with their recorded fingerprints.

Only this module knows which files an artifact must have. The resolvers, the cache and `agnews artifacts check` use it.
TensorFlow Extended, which takes ten seconds to import, is needed only to read files and to check an object store.
"""

import fnmatch
import json
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.manifest import EXPORT, FILES, find_change
from schema.errors import DataError
from schema.metadata import (
    ANOMALIES,
    EVALUATION,
    EXAMPLES,
    HYPERPARAMETERS,
    MODEL,
    MODEL_CARD,
    SCHEMA,
    SCHEMA_FILE,
    STATISTICS,
    STATISTICS_FILE,
    TRANSFORM_GRAPH,
    VALIDATION_BLESSING,
)
from schema.model_contract import SAVED_MODEL_FILES
from schema.paths import is_remote

if TYPE_CHECKING:
    from tfx.types import Artifact

# Files below the artifact's directory, by artifact type; {split} is replaced by each split. Later runs read no files of
# other types, for which only the directory must exist.
_FILES = {
    EXAMPLES: ("Split-{split}/*",),
    STATISTICS: (f"Split-{{split}}/{STATISTICS_FILE}",),
    ANOMALIES: ("Split-{split}/SchemaDiff.pb",),
    SCHEMA: (SCHEMA_FILE,),
    VALIDATION_BLESSING: ("drift.json",),
    TRANSFORM_GRAPH: (
        f"transformed_metadata/{SCHEMA_FILE}",
        *(f"transform_fn/{name}" for name in SAVED_MODEL_FILES),
    ),
    HYPERPARAMETERS: ("best_hyperparameters.txt",),
    MODEL: tuple(f"{EXPORT}/{name}" for name in SAVED_MODEL_FILES),
    EVALUATION: ("eval_config.json", "metrics-*", "plots-*", "validations.tfrecord"),
    MODEL_CARD: ("evidence.json", "model_card.html", "model_card.json", "predictions.parquet"),
}
_SHARD = re.compile(r"-\d{5,}-of-(\d{5,})")


class FileUnavailable(DataError):
    """A file of an artifact was deleted, was never written, or is damaged."""


def read_file(path: str) -> bytes:
    """Reads a file of an artifact, which may be local or in an object store; raises `FileUnavailable`."""
    import tensorflow as tf
    from tfx.dsl.io import fileio

    try:
        with fileio.open(path, "rb") as file:
            return file.read()
    except (OSError, tf.errors.OpError) as error:
        raise FileUnavailable(f"{path} cannot be read; it may have been deleted") from error


def missing_file(artifact: "Artifact | mlmd.Artifact") -> str | None:
    """Looks for the files of an artifact, which may be local or in an object store, and for changed files of a model.

    Args:
        artifact: the artifact, as a component receives it or as the metadata store holds it.

    Returns:
        The first file, directory or pattern that does not exist, or the file of a model that is not as it was trained;
        None if nothing is missing. An artifact without a URI has no files, so nothing is missing.
    """
    if isinstance(artifact, mlmd.Artifact):
        kind, stored = artifact.type, artifact
    else:
        kind, stored = artifact.type_name, artifact.mlmd_artifact
    if not stored.uri:
        return None
    if not _exists(stored.uri):
        return stored.uri
    names = stored.properties["split_names"].string_value if "split_names" in stored.properties else ""
    splits = json.loads(names) if names else []  # As tfx.types.artifact_utils.decode_split_names.
    patterns = _FILES.get(kind, ())
    of_splits = [pattern.format(split=split) for pattern in patterns if "{split}" in pattern for split in splits]
    missing = first_missing(stored.uri, [*of_splits, *(pattern for pattern in patterns if "{split}" not in pattern)])
    if missing is None and kind == MODEL and FILES in stored.custom_properties:
        return find_change(stored.uri, stored.custom_properties[FILES].string_value)
    return missing


def first_missing(directory: str, patterns: Iterable[str]) -> str | None:
    """Returns the first pattern below the directory that lacks a file; sharded files must be complete."""
    for pattern in patterns:
        path = os.path.join(directory, pattern)
        if not _are_complete(fnmatch.filter(_names(os.path.dirname(path)), os.path.basename(path))):
            return path
    return None


def _names(directory: str) -> list[str]:
    # The directory is not globbed, since its name may contain brackets.
    if not _exists(directory):
        return []
    if is_remote(directory):
        from tfx.dsl.io import fileio

        return [name.rstrip("/") for name in fileio.listdir(directory)]
    return os.listdir(directory)


def _exists(place: str) -> bool:
    if is_remote(place):
        from tfx.dsl.io import fileio

        return fileio.exists(place)
    return os.path.exists(place)


def _are_complete(names: list[str]) -> bool:
    shards = [int(match[1]) for name in names if (match := _SHARD.search(name))]
    return len(names) >= max(shards, default=1)
