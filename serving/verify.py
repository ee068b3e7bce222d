"""Verifies the files of served versions against the fingerprints in the audit log."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schema.errors import AuditError
from serving.audit import PRUNE, PUSH, AuditLog, Entry, Line, differences, manifest
from serving.audit.signature import signature_flaw, unsigned_lines
from serving.versions import names_by_version


@dataclass(frozen=True)
class CheckedVersion:
    """A version that exists, or should exist; `findings` is empty if it is as it was pushed."""

    model: str
    number: int
    findings: tuple[str, ...]


def check(serving_directory: Path, log: AuditLog, key: Ed25519PublicKey | None = None) -> list[CheckedVersion]:
    """Checks every version of every model, lowest first.

    Args:
        serving_directory: directory with one directory per model, each with one directory per version.
        log: log with the entries of pushes and prunings.
        key: public key of the required signature of every push; None requires no signatures.

    Raises:
        AuditError: a directory of versions cannot be read.
    """
    pushed = _expected_pushes(log.lines(), key)
    try:
        named = {
            (directory.name, number): flaws
            for directory in serving_directory.iterdir()
            if directory.is_dir()
            for number, flaws in version_directories(directory).items()
        }
    except OSError as error:
        raise AuditError(f"{error.filename}: {error.strerror}; who verifies must be able to read it") from error
    return [
        CheckedVersion(
            model,
            number,
            (
                *named.get((model, number), ()),
                *_findings(pushed.get((model, number)), serving_directory / model / str(number), key),
            ),
        )
        for model, number in sorted(pushed.keys() | named.keys())
    ]


def check_version(directory: Path, log: AuditLog, key: Ed25519PublicKey | None = None) -> list[str]:
    """Checks one version before it is served.

    Args:
        directory: `<serving directory>/<model name>/<version>`.
        log: log with the entry of the push.
        key: public key of the required signature; None requires none.

    Returns:
        The findings; empty if the version is as it was pushed.

    Raises:
        AuditError: the log cannot be read.
    """
    model, number = directory.parent.name, int(directory.name)
    entry = _expected_pushes(log.lines(), key).get((model, number))
    return [*version_directories(directory.parent).get(number, ()), *_findings(entry, directory, key)]


def differences_from_push(push: Entry, found: Mapping[str, str]) -> list[str]:
    """Returns the differences from the pushed files, one line each; an edited entry may lack the list of files."""
    recorded = push.details.get("files")
    if not isinstance(recorded, dict):
        return ["the entry of its push holds no fingerprints of files"]
    return differences(recorded, found)


def version_directories(directory: Path) -> dict[int, list[str]]:
    """Returns the versions that the names in a model's directory stand for, each with the problems of those names.

    A server accepts "07" for version 7 too. A link can point to other files at any time.
    """
    found: dict[int, list[str]] = {}
    for number, names in names_by_version(os.listdir(directory)).items():
        flaws = found[number] = []
        for name in names:
            if name != str(number):
                flaws.append(f"{name!r} is a name for it too, and servers may load it")
            elif (directory / name).is_symlink():
                flaws.append(f"it is a link, to {os.readlink(directory / name)}, and no directory")
    return found


def _expected_pushes(lines: Sequence[Line], key: Ed25519PublicKey | None) -> dict[tuple[str, int], Entry]:
    """Returns the last push of each version that was not pruned since, by model and number."""
    pushed: dict[tuple[str, int], Entry] = {}
    unsigned = {line.number for line in unsigned_lines(key, lines)} if key else set()
    for line in lines:
        entry = line.entry
        if entry is None or entry.version is None or entry.outcome != "COMPLETE":
            continue
        if entry.action == PUSH:
            pushed[entry.model, entry.version] = entry
        elif entry.action == PRUNE and line.number not in unsigned:
            pushed.pop((entry.model, entry.version), None)
    return pushed


def _findings(entry: Entry | None, path: Path, key: Ed25519PublicKey | None) -> tuple[str, ...]:
    if entry is None:
        return ("not in the audit log: nobody is recorded to have pushed it",)
    flaw = signature_flaw(key, entry) if key else None
    try:
        if not path.is_dir():
            return ("missing, and not recorded as pruned",)
        different = differences_from_push(entry, manifest(path))
    except OSError as error:
        different = [f"cannot be read: {error.filename}: {error.strerror}"]
    return (*different, *([flaw] if flaw else []))
