"""The approval gate: a blessed model is pushed when enough people said so.

`RequestApproval` leaves a request, the command line adds decisions, `DecisionsOnModel` finds them, and `ApprovalGate`
lets the run go on, or ends it. Where there is no metadata store, the gate of `logged` asks and finds by itself, in the
audit log; it is imported from there, since it knows model cards. `rules` says what is enough; Pusher asks it again.
"""

from components.approval.artifacts import Approval, ApprovalDecision, ApprovalRequest, read_decision, write_decision
from components.approval.component import ApprovalGate, RequestApproval
from components.approval.resolver import DecisionsOnModel
from components.approval.rules import Decision, Rules, Status, judge
from components.approval.verdict import require_approval

__all__ = [
    "Approval",
    "ApprovalDecision",
    "ApprovalGate",
    "ApprovalRequest",
    "Decision",
    "DecisionsOnModel",
    "RequestApproval",
    "Rules",
    "Status",
    "judge",
    "read_decision",
    "require_approval",
    "write_decision",
]
