"""Checks an audit log: was a past entry changed, removed, added or moved?"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from serving.audit.log import FIRST, RECOVER, AuditLog, Entry, Line


def problems(log: AuditLog, expected: Mapping[str, str], *, copied: bool = False) -> list[str]:
    """What is wrong with a log, a line a finding; empty when it is as it was written.

    The chain alone shows any change before the last line. Whoever can write the file can also compute the chain anew
    from some line on, or cut the end off: that is found by `expected`, whatever of it was written down elsewhere.

    Args:
        log: the log.
        expected: SHA-256 of lines that must be there, each with where that is known from.
        copied: whether the file may be a copy, beside which the pieces that were set aside need not lie.

    Raises:
        AuditError: the file cannot be read.
    """
    lines = log.lines()
    found = breaks(lines) + ([] if copied else lost_pieces(log))
    if torn := log.torn():
        found.append(
            f"the last line is cut off after {len(torn)} bytes: a writer was killed, or the end of the file is gone; "
            "the next entry sets the piece aside"
        )
    there = {line.hash for line in lines}
    found += [
        f"no line has the SHA-256 {digest}, known from {source}"
        for digest, source in expected.items()
        if digest not in there
    ]
    return found


def breaks(lines: Iterable[Line]) -> list[str]:
    """Where the chain is broken, a line a finding.

    A last line that is cut off is none: it may be one that is being written.
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
    """The pieces of lines that entries say were set aside, and that are not beside the log as they were; a line each.

    Raises:
        AuditError: the file cannot be read.
    """
    return [
        f"line {line.number} tells of a piece set aside in {line.entry.details.get('file')}, which is not there"
        for line in log.lines()
        if line.entry and line.entry.action == RECOVER and _is_lost(line.entry, log.path.parent)
    ]


def _is_lost(recovered: Entry, directory: Path) -> bool:
    name = Path(str(recovered.details.get("file", ""))).name
    try:
        return hashlib.sha256((directory / name).read_bytes()).hexdigest() != recovered.details.get("sha256")
    except (OSError, ValueError):  # A name that was edited may hold what no name can.
        return True
