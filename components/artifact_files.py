"""Decides whether the files of an artifact are there: the metadata store does not notice when somebody deletes them.

The only place that knows which files an artifact must have. Resolvers, the cache and `agnews artifacts check` ask it.
"""

import fnmatch
import os
import re
from collections.abc import Iterable

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils

from schema.model_contract import SAVED_MODEL_FILES

# By the artifact's type, below its directory; {split} stands for each of its splits. Other types have no files that a
# later run reads: of these the directory must be there.
_FILES = {
    "Examples": ("Split-{split}/*",),
    "ExampleStatistics": ("Split-{split}/FeatureStats.pb",),
    "ExampleAnomalies": ("Split-{split}/SchemaDiff.pb",),
    "Schema": ("schema.pbtxt",),
    "agnews.ValidationBlessing": ("drift.json",),
    "TransformGraph": (
        "transformed_metadata/schema.pbtxt",
        *(f"transform_fn/{name}" for name in SAVED_MODEL_FILES),
    ),
    "HyperParameters": ("best_hyperparameters.txt",),
    "Model": tuple(f"Format-Serving/{name}" for name in SAVED_MODEL_FILES),
    "ModelEvaluation": ("eval_config.json", "metrics-*", "plots-*", "validations.tfrecord"),
    "agnews.ModelCard": ("evidence.json", "model_card.html", "model_card.json", "predictions.parquet"),
    "agnews.Approval": ("approval.json",),
}
_SHARD = re.compile(r"-\d{5,}-of-(\d{5,})")


def missing_file(artifact: Artifact | mlmd.Artifact) -> str | None:
    """Looks for the files of an artifact, local or in an object store.

    Args:
        artifact: as a component gets it or as the metadata store holds it.

    Returns:
        Path of a file, a directory or a pattern that nothing is found at; None where nothing is missing. An artifact
        without a place has no files and misses none.
    """
    if isinstance(artifact, Artifact):
        kind, stored = artifact.type_name, artifact.mlmd_artifact
    else:
        kind, stored = artifact.type, artifact
    if not stored.uri:
        return None
    if not fileio.exists(stored.uri):
        return stored.uri
    names = stored.properties["split_names"].string_value if "split_names" in stored.properties else ""
    splits = artifact_utils.decode_split_names(names)
    patterns = _FILES.get(kind, ())
    of_splits = [pattern.format(split=split) for pattern in patterns if "{split}" in pattern for split in splits]
    return first_missing(stored.uri, [*of_splits, *(pattern for pattern in patterns if "{split}" not in pattern)])


def first_missing(directory: str, patterns: Iterable[str]) -> str | None:
    """Returns the first of the patterns, below the directory, without a file; of sharded files all must be there."""
    for pattern in patterns:
        path = os.path.join(directory, pattern)
        if not _are_complete(fnmatch.filter(_names(os.path.dirname(path)), os.path.basename(path))):
            return path
    return None


def _names(directory: str) -> list[str]:
    # Not by globbing the path: a directory's name may hold brackets.
    return [name.rstrip("/") for name in fileio.listdir(directory)] if fileio.exists(directory) else []


def _are_complete(names: list[str]) -> bool:
    shards = [int(match[1]) for name in names if (match := _SHARD.search(name))]
    return len(names) >= max(shards, default=1)
