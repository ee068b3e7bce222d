"""The audit log records who did what to which model, when and why, in a file whose changes can be detected.

`log` writes and reads the log, `chain` checks it, `fingerprint` identifies models by their files, `identity` names the
user, and `signature` signs pushed models; it is imported only where that is needed.
The package is in the lowest layer, like the errors, because Pusher and promotion both write the log and neither may
import the other.
"""

from serving.audit.chain import breaks, lost_pieces, problems
from serving.audit.fingerprint import differences, fingerprint, manifest
from serving.audit.identity import IDENTITY, identity, person, readable
from serving.audit.log import (
    APPROVE,
    AUDIT_FILE,
    DECIDED,
    REJECT,
    AuditLog,
    Entry,
    Line,
    receipt_hash,
    receipt_log,
)

__all__ = [
    "APPROVE",
    "AUDIT_FILE",
    "DECIDED",
    "IDENTITY",
    "REJECT",
    "AuditLog",
    "Entry",
    "Line",
    "breaks",
    "differences",
    "fingerprint",
    "identity",
    "lost_pieces",
    "manifest",
    "person",
    "problems",
    "readable",
    "receipt_hash",
    "receipt_log",
]
