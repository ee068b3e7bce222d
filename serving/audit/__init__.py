"""The audit log: who did what to which model, when and why, in a file that cannot be changed unnoticed.

`log` writes and reads it, `chain` checks it, `fingerprint` tells models apart by their files, `identity` says who acts,
`signature` signs what was pushed, and is imported where that is done.
Pusher and promotion both write it and neither may import the other, so it lies in the lowest package, as the errors do.
"""

from serving.audit.chain import breaks, lost_pieces, problems
from serving.audit.fingerprint import differences, fingerprint, manifest
from serving.audit.identity import IDENTITY, identity, person, readable
from serving.audit.log import (
    APPROVE,
    AUDIT_FILE,
    DECIDED,
    REJECT,
    REQUEST,
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
    "REQUEST",
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
