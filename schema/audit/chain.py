"""Checks an audit log: was a past entry changed, removed, added or moved?"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from schema.audit.log import FIRST, RECOVER, AuditLog, Line


def problems(log: AuditLog, expected: Mapping[str, str]) -> list[str]:
    """What is wrong with a log, a line a finding; empty when it is as it was written.

    The chain alone shows any change before the last line. Whoever can write the file can also compute the chain anew
    from some line on, or cut the end off: that is found by `expected`, whatever of it was written down elsewhere.

    Args:
        log: the log.
        expected: SHA-256 of lines that must be there, each with where that is known from.

    Raises:
        AuditError: the file cannot be read.
    """
    lines = log.lines()
    found = breaks(lines) + [flaw for line in lines for flaw in _lost_piece(line, log.path.parent)]
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


def _lost_piece(line: Line, directory: Path) -> list[str]:
    """A piece of a line that an entry says was set aside, and that is not there as it was."""
    if line.entry is None or line.entry.action != RECOVER:
        return []
    name, digest = str(line.entry.details.get("file", "")), line.entry.details.get("sha256")
    try:
        kept = hashlib.sha256((directory / Path(name).name).read_bytes()).hexdigest()
    except OSError:
        kept = None
    return [] if kept == digest else [f"line {line.number} tells of a piece set aside in {name}, which is not there"]
