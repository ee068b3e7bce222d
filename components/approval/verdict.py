"""The gate's verdict on a model: given by the gate, and judged once more by Pusher."""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import quote

from tfx.dsl.io import fileio
from tfx.types import Artifact
from tfx.utils import io_utils

from components.approval.rules import Decision, Rules, Status, judge, last_words, postdated
from schema.errors import ApprovalPending, RunError
from serving.audit import fingerprint

logger = logging.getLogger(__name__)

_REPORT = "approval.json"


def give_verdict(approval: Artifact, decisions: list[Decision], author: str, rules: Rules, how: str) -> None:
    """Writes what people decided into the gate's artifact: approved or rejected.

    Args:
        approval: the artifact.
        decisions: all on the model, oldest first.
        author: who trained it, empty when that is not known.
        rules: the gate's.
        how: what decides it, for people.

    Raises:
        ApprovalPending: it needs more approvals, or theirs are too old.
    """
    status = _judged(decisions, author, rules, how)
    rejections = [one for one in last_words(decisions) if not one.approved]
    with fileio.open(os.path.join(approval.uri, _REPORT), "w") as file:
        json.dump({"author": author, "decisions": [asdict(decision) for decision in decisions]}, file, indent=1)
    logger.info(str(status), extra={"fields": {"by": ", ".join(decision.who for decision in decisions)}})
    _mark(approval, status is Status.APPROVED, "; ".join(f"{one.who}: {one.why}" for one in rejections))


def ask_nobody(approval: Artifact) -> None:
    """The verdict on a model that does not ask to be pushed."""
    _mark(approval, False, "")


def require_approval(approval: Artifact | None, rules: Rules, model: Artifact, files: dict[str, str]) -> list[Decision]:
    """Judges once more, for Pusher: the gate may have run long ago, for other files, or not at all.

    Args:
        approval: the gate's verdict.
        rules: the gate's.
        model: what is to be pushed.
        files: of its export.

    Returns:
        The decisions; empty when the model was rejected or not blessed.

    Raises:
        ApprovalPending: there is no approval, or it is too old.
        RunError: other files were approved.
    """
    digest = fingerprint(files)
    how = f"agnews approve {digest[:12]} --reason … (or agnews reject), then the same run again"
    if approval is None:
        raise _pending(rules, Status.PENDING, how)
    if not approval.get_int_custom_property("approved"):
        return []
    report = json.loads(io_utils.read_string_file(os.path.join(approval.uri, _REPORT)))
    decisions = [Decision(**decision) for decision in report["decisions"]]
    if any(decision.fingerprint != digest for decision in decisions):
        raise RunError(
            f"the files of model {model.id} are not those that were approved; train it anew: agnews run --no-cache"
        )
    status = _judged(decisions, report["author"], rules, how)
    return decisions if status is Status.APPROVED else []


def _mark(approval: Artifact, approved: bool, reason: str) -> None:
    approval.set_int_custom_property("approved", int(approved))
    approval.set_string_custom_property("reason", quote(reason, safe=" @"))


def _judged(decisions: list[Decision], author: str, rules: Rules, how: str) -> Status:
    now = datetime.now(UTC)
    status = judge(decisions, author, rules, now)
    if status in (Status.PENDING, Status.EXPIRED):
        raise _pending(rules, status, how, postdated(last_words(decisions), now))
    return status


def _pending(rules: Rules, status: Status, how: str, early: Iterable[Decision] = ()) -> ApprovalPending:
    what = "its approval has expired; again" if status is Status.EXPIRED else "waiting for approval"
    people = f" by {rules.approvers} people" if rules.approvers > 1 else ""
    void = "".join(f"; that of {one.who} is dated {one.when}, in the future, and does not count" for one in early)
    return ApprovalPending(f"{what}{people}{void}: {how}")
