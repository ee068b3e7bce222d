"""Enters a version directory that a test wrote into the audit log, as its push would have."""

from pathlib import Path

from serving.audit import PUSH, AuditLog, Entry, fingerprint, manifest


def log_push(version: Path) -> Entry:
    """Appends the entry of a push to the log of the serving directory."""
    files = manifest(version)
    entry = Entry(PUSH, version.parent.name, int(version.name), fingerprint(files), details={"files": files})
    AuditLog(version.parents[1] / "audit.jsonl").append(entry)
    return entry
