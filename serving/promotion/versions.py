"""Lists the versions in a model's directory, and checks whether a server could load them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schema.model_contract import MLMD_UUID, SAVED_MODEL

_NUMBER = re.compile(r"[0-9]+")
# "07" is not a version: two directories with the same number would hide each other.
_VERSION = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True)
class PushedVersion:
    """A version directory.

    Attributes:
        number: number of the version.
        path: directory of the version.
        flaw: why no server could load the version; None if it is loadable.
        size: bytes on disk.
        pushed_at: time of the push, seconds since the epoch.
        model_id: id of the Model artifact in the metadata store; None if the version contains none.
    """

    number: int
    path: Path
    flaw: str | None
    size: int
    pushed_at: float
    model_id: int | None


def pushed_versions(directory: Path) -> dict[int, PushedVersion]:
    """Returns the versions in a model's directory by number, lowest first.

    Leaves out names that TensorFlow Serving ignores, and numbers with leading zeros, which no push creates.

    Args:
        directory: `<destination>/<model name>`; a missing directory has no versions.
    """
    names = os.listdir(directory) if directory.is_dir() else []
    found = [directory / name for name in names if _VERSION.fullmatch(name) and (directory / name).is_dir()]
    return {int(path.name): _read(path) for path in sorted(found, key=lambda path: int(path.name))}


def _read(path: Path) -> PushedVersion:
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    return PushedVersion(
        number=int(path.name),
        path=path,
        flaw=_flaw(path),
        size=sum(file.stat().st_size for file in files if file.is_file()),
        pushed_at=_pushed_at(path),
        model_id=_model_id(path),
    )


def _flaw(path: Path) -> str | None:
    graph = path / SAVED_MODEL
    if not graph.is_file() or not graph.stat().st_size:
        return f"it has no {SAVED_MODEL}"
    variables = path / "variables"
    if variables.is_dir() and not {"variables.index"} < set(os.listdir(variables)):
        return "its variables are not all there"
    return None


def _pushed_at(path: Path) -> float:
    # A copy of an export keeps the time of its directory, but the Pusher writes this file during the push.
    stamp = path / MLMD_UUID
    return (stamp if stamp.exists() else path).stat().st_mtime


def _model_id(path: Path) -> int | None:
    try:
        text = (path / MLMD_UUID).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if _NUMBER.fullmatch(text) else None


def whole(versions: Mapping[int, PushedVersion]) -> list[int]:
    """Returns the numbers of the loadable versions, lowest first."""
    return [number for number, version in versions.items() if version.flaw is None]
