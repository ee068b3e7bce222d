"""What the audit log says of requests and of the decisions on them."""

from collections.abc import Iterable

from components.approval.rules import Decision
from serving.audit import APPROVE, REJECT, REQUEST, Entry, Line


def requests_in(lines: Iterable[Line]) -> dict[str, Entry]:
    """The requests of a log by fingerprint; the first one where there are several."""
    found: dict[str, Entry] = {}
    for line in lines:
        if line.entry and line.entry.action == REQUEST:
            found.setdefault(line.entry.fingerprint, line.entry)
    return found


def decisions_in(lines: Iterable[Line], fingerprint: str) -> list[Decision]:
    """What was decided on a model, oldest first."""
    return [
        Decision(fingerprint, entry.action == APPROVE, entry.by, entry.when, entry.why)
        for line in lines
        if (entry := line.entry) and entry.action in (APPROVE, REJECT) and entry.fingerprint == fingerprint
    ]
