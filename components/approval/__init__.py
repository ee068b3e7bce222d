"""The approval gate: a blessed model is pushed only when enough people approve it.

`RequestApproval` makes a request, the command line adds decisions, `DecisionsOnModel` finds them, and `ApprovalGate`
lets the run continue or ends it. `rules` decides which approvals are enough, and Pusher applies it again.

The names below need no TFX, so that commands that only read are quick. The components are in `component`.
"""

from components.approval.rules import Decision, Rules, Status, describe_progress, judge, write_decision

__all__ = ["Decision", "Rules", "Status", "describe_progress", "judge", "write_decision"]
