"""Records the artifacts that a card was made from, and fingerprints of their content."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfx.dsl.io import fileio
from tfx.types import Artifact

from serving import audit

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of a directory's content.

    Attributes:
        sha256: SHA-256 over the names of the files, in order, and the SHA-256 of each file's content.
        files: number of files.
        bytes: total size of the files.
    """

    sha256: str
    files: int
    bytes: int


def fingerprint(*directories: str) -> Fingerprint:
    """Reads every file below the directories; with several directories, each file's name starts with a number."""
    digests, size = {}, 0
    for number, directory in enumerate(directories):
        paths = sorted(os.path.join(folder, name) for folder, _, names in fileio.walk(directory) for name in names)
        for path in paths:
            content = hashlib.sha256()
            with fileio.open(path, "rb") as file:
                while chunk := file.read(_CHUNK):
                    content.update(chunk)
                    size += len(chunk)
            name = os.path.relpath(path, directory)
            digests[name if len(directories) == 1 else f"{number}/{name}"] = content.hexdigest()
    return Fingerprint(audit.fingerprint(digests), len(digests), size)


@dataclass(frozen=True)
class Source:
    """An artifact in the metadata store: its role for the card, its type, id and URI."""

    role: str
    type: str
    id: int
    uri: str


@dataclass(frozen=True)
class Lineage:
    """The origin of the card.

    Attributes:
        pipeline: name of the pipeline.
        run: run in which the card was written; a later run that takes the card from the cache does not rewrite it.
        sources: the artifacts that were read.
        code: fingerprint of the source of each stage, as in the cache key.
    """

    pipeline: str
    run: str
    sources: tuple[Source, ...]
    code: dict[str, str]


def trace(pipeline: str, run: str, inputs: Mapping[str, Sequence[Artifact]], code: Mapping[str, str]) -> Lineage:
    """Lists the input artifacts by role."""
    sources = tuple(
        Source(role.replace("_", " "), artifact.type_name, artifact.id, artifact.uri)
        for role, artifacts in sorted(inputs.items())
        for artifact in artifacts
    )
    return Lineage(pipeline, run, sources, dict(code))
