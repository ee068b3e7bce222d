"""Decides how runs and executions ended, for tools that know success, failure and an end by a person."""

from collections.abc import Sequence
from enum import StrEnum

from pipeline.metadata.snapshot import Execution
from schema.errors import ApprovalPending, NothingToTrain

_PUSHER = "Pusher"


class RunOutcome(StrEnum):
    """How a run or an execution ended."""

    COMPLETE = "complete"
    FAIL = "fail"
    ABORT = "abort"


_ENDS = {
    "COMPLETE": RunOutcome.COMPLETE,
    "CACHED": RunOutcome.COMPLETE,
    "FAILED": RunOutcome.FAIL,
    "CANCELED": RunOutcome.ABORT,
}
# These are not failures: the run waits for a person, or had nothing to do.
_STATUSES = {ApprovalPending.exit_code: RunOutcome.ABORT, NothingToTrain.exit_code: RunOutcome.COMPLETE}


def execution_outcome(execution: Execution) -> RunOutcome | None:
    """Returns how an execution ended, or None if it has not ended."""
    if execution.state == "FAILED" and execution.exit_status in _STATUSES:
        return _STATUSES[execution.exit_status]
    return _ENDS.get(execution.state)


def run_outcome(last: Sequence[Execution]) -> RunOutcome | None:
    """Returns how a run ended, or None if it may still continue.

    Args:
        last: the last try of each component.
    """
    outcomes = {execution_outcome(execution) for execution in last}
    if None in outcomes:
        return None
    for outcome in (RunOutcome.FAIL, RunOutcome.ABORT):
        if outcome in outcomes:
            return outcome
    # A run without Pusher may be between two components.
    ended = any(one.type.endswith(_PUSHER) or one.exit_status == NothingToTrain.exit_code for one in last)
    return RunOutcome.COMPLETE if ended else None
