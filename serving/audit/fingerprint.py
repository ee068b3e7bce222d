"""Computes a model's fingerprint: SHA-256 over the name and content of every file in its directory."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

NOT_A_FILE = "0" * 64


def manifest(directory: Path) -> dict[str, str]:
    """Returns the SHA-256, in hexadecimal, of each file by its path below a local directory, with "/" between names.

    Anything other than a file or a directory, including links, has the value `NOT_A_FILE`, so that everything that
    can be served is in the manifest.
    """
    return {path.relative_to(directory).as_posix(): _digest(path) for path in sorted(_entries(directory))}


def fingerprint(files: Mapping[str, str]) -> str:
    """Returns the SHA-256 of a manifest in hexadecimal, over each file's name, a zero byte and its SHA-256, by name."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(os.fsencode(name) + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def differences(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Returns the differences between two manifests: one line per file that differs, is missing, or is extra."""
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
