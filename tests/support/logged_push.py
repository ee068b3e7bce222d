"""Enters a version directory that a test wrote into the audit log, as its push would have."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serving.audit import PUSH, AuditLog, Entry, fingerprint, manifest
from serving.audit.log import SIGNATURE
from serving.audit.signature import sign


def log_push(version: Path, key: Ed25519PrivateKey | None = None) -> Entry:
    """Appends the entry of a push, signed if there is a key, to the log of the serving directory."""
    files = manifest(version)
    entry = Entry(PUSH, version.parent.name, int(version.name), fingerprint(files), details={"files": files})
    if key:
        entry.details[SIGNATURE] = sign(key, entry)
    AuditLog(version.parents[1] / "audit.jsonl").append(entry)
    return entry
