"""Checks whether an entry of an audit log was changed, removed, added or moved."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from schema.wording import amount
from serving.audit.log import FIRST, RECOVER, AuditLog, Entry, Line


def problems(log: AuditLog, expected: Mapping[str, str], *, copied: bool = False) -> list[str]:
    """Returns the problems of a log, one line per finding; empty if the log is as it was written.

    The chain alone reveals any change before the last line. Anyone who can write to the file can also recompute the
    chain from some line on, or cut off the end. `expected` reveals such changes, as far as hashes were recorded
    elsewhere.

    Args:
        log: the log.
        expected: SHA-256 of each line that must exist, with the source of that hash.
        copied: whether the file may be a copy, without the files of the pieces that were set aside.

    Raises:
        AuditError: the file cannot be read.
    """
    lines = log.lines()
    found = breaks(lines) + ([] if copied else lost_pieces(log))
    if torn := log.torn():
        found.append(
            f"the last line is cut off after {amount(len(torn), 'byte')}: a writer was killed, or the end of the file "
            "is gone; the next entry sets the piece aside"
        )
    there = {line.hash for line in lines}
    found += [
        f"no line has the SHA-256 {digest}, known from {source}"
        for digest, source in expected.items()
        if digest not in there
    ]
    return found


def breaks(lines: Iterable[Line]) -> list[str]:
    """Returns where the chain is broken, one line per finding.

    A truncated last line is not a finding, since another process may be writing it.
    """
    found, previous = [], FIRST
    for line in lines:
        if line.entry is None:
            found.append(f"line {line.number} is no entry")
        elif line.entry.previous != previous:
            found.append(
                f"line {line.number} does not follow the one before it: that one was changed, or lines were removed, "
                "added or moved"
            )
        previous = line.hash
    return found


def lost_pieces(log: AuditLog) -> list[str]:
    """Returns the pieces of lines that entries name as set aside but that are missing or changed, one line each.

    Raises:
        AuditError: the file cannot be read.
    """
    return [
        f"line {line.number} reports a piece set aside in {line.entry.details.get('file')}, which is not there"
        for line in log.lines()
        if line.entry and line.entry.action == RECOVER and _is_lost(line.entry, log.path.parent)
    ]


def _is_lost(recovered: Entry, directory: Path) -> bool:
    name = Path(str(recovered.details.get("file", ""))).name
    try:
        return hashlib.sha256((directory / name).read_bytes()).hexdigest() != recovered.details.get("sha256")
    except (OSError, ValueError):  # An edited name may contain characters that are not allowed in file names.
        return True
