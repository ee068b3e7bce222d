"""The approval gate: a blessed model is pushed only when enough people approve it.

`RequestApproval` makes a request, the command line adds decisions, `DecisionsOnModel` finds them, and `ApprovalGate`
lets the run continue or ends it. `rules` decides which approvals are enough, and Pusher applies it again.
"""

from components.approval.component import (
    Approval,
    ApprovalDecision,
    ApprovalGate,
    ApprovalRequest,
    DecisionsOnModel,
    RequestApproval,
    require_approval,
    write_decision,
)
from components.approval.rules import Decision, Rules, Status, judge

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
    "require_approval",
    "write_decision",
]
