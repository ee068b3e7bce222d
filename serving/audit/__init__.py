"""The audit log records who did what to which model, when and why, in a file whose changes can be detected.

`log` writes and reads the log, `chain` checks it, `fingerprint` identifies models by their files, `identity` names the
user, and `signature` signs pushed models; it is imported only where that is needed.
The package is in the lowest layer, like the errors, because Pusher and promotion both write the log and neither may
import the other.
"""

from serving.audit.chain import breaks, lost_pieces, problems
from serving.audit.fingerprint import differences, fingerprint, manifest
from serving.audit.identity import IDENTITY, check_name, identity, person, readable
from serving.audit.log import (
    APPROVALS,
    APPROVE,
    AUDIT_FILE,
    CLEAN,
    DECIDED,
    PROMOTE,
    PROOF,
    PRUNE,
    PUSH,
    REJECT,
    ROLLBACK,
    SERVED_CHANGES,
    SIGNATURE,
    AuditLog,
    Entry,
    Line,
    Proof,
    proof_of,
    receipt_digest,
    receipt_hash,
    receipt_log,
)

__all__ = [
    "APPROVALS",
    "APPROVE",
    "AUDIT_FILE",
    "CLEAN",
    "DECIDED",
    "IDENTITY",
    "PROMOTE",
    "PROOF",
    "PRUNE",
    "PUSH",
    "REJECT",
    "ROLLBACK",
    "SERVED_CHANGES",
    "SIGNATURE",
    "AuditLog",
    "Entry",
    "Line",
    "Proof",
    "breaks",
    "check_name",
    "differences",
    "fingerprint",
    "identity",
    "lost_pieces",
    "manifest",
    "person",
    "problems",
    "proof_of",
    "readable",
    "receipt_digest",
    "receipt_hash",
    "receipt_log",
]
