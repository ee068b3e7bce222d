"""A model's fingerprint: SHA-256 over every file of its directory, name and content."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

NOT_A_FILE = "0" * 64


def manifest(directory: Path) -> dict[str, str]:
    """SHA-256, in hexadecimal, of each file by its path below a local directory, with "/" between names.

    What is neither a file nor a directory, links too, has the value `NOT_A_FILE`: nothing that a manifest does not
    see can be served.
    """
    return {path.relative_to(directory).as_posix(): _digest(path) for path in sorted(_entries(directory))}


def fingerprint(files: Mapping[str, str]) -> str:
    """SHA-256 of a manifest, in hexadecimal: over each file's name, a zero byte and its own SHA-256, by name."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(os.fsencode(name) + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def differences(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """In what two manifests differ: a line a file that differs, is missing, or is extra."""
    lines = []
    for name in sorted(recorded.keys() | found.keys()):
        if name not in found:
            lines.append(f"missing: {name}")
        elif name not in recorded:
            lines.append(f"extra: {name}")
        elif recorded[name] != found[name]:
            lines.append(f"differs: {name}")
    return lines


def _entries(directory: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(directory, onerror=_fail):
        yield from (Path(folder, name) for name in names)
        yield from (path for name in folders if (path := Path(folder, name)).is_symlink())


def _fail(error: OSError) -> None:
    raise error


def _digest(path: Path) -> str:
    if not stat.S_ISREG(path.lstat().st_mode):
        return NOT_A_FILE
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
