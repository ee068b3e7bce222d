"""The components of the approval gate.

They fit TFX's cache: a request is made once for a model; the gate's key holds the decisions, so that it runs again
when one is added; and a gate that waits fails, and what failed is never taken from the cache. An approval that was
used stays good: its gate comes from the cache, and so does the push.
"""

import json
import logging
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import List  # noqa: UP035 - TFX's decorator looks for this one
from urllib.parse import quote, unquote

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import Artifact, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.approval.artifacts import Approval, ApprovalDecision, ApprovalRequest, read_decision
from components.approval.rules import Decision, Rules, Status, judge, last_words
from components.exports import author_of, files_of
from schema.audit import fingerprint
from schema.errors import ApprovalPending, RunError

logger = logging.getLogger(__name__)

_REPORT = "approval.json"


@component
def RequestApproval(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    request: OutputArtifact[ApprovalRequest],
) -> None:
    """Leaves a request, bound to the model's files, when Evaluator and InfraValidator blessed it."""
    export = path_utils.serving_model_path(model.uri)
    wanted = model_utils.is_model_blessed(model_blessing) and model_utils.is_infra_validated(infra_blessing)
    request.set_int_custom_property("model_id", model.id)
    request.set_int_custom_property("wanted", int(wanted))
    request.set_string_custom_property("fingerprint", fingerprint(files_of(export)))
    request.set_string_custom_property("author", quote(author_of(export), safe=" @"))


@component
def ApprovalGate(
    request: InputArtifact[ApprovalRequest],
    approval: OutputArtifact[Approval],
    rules: Parameter[str],
    decisions: InputArtifact[List[ApprovalDecision]] = None,  # noqa: UP006
) -> None:
    """Lets the run go on when the model was approved, when it was rejected, and when there is nothing to approve.

    Raises:
        ApprovalPending: it needs more approvals, or theirs are too old.
    """
    approved, reason = 0, ""
    if request.get_int_custom_property("wanted"):
        made = [read_decision(decision) for decision in decisions or []]
        author = unquote(request.get_string_custom_property("author"))
        status = _judged(made, author, Rules.from_json(rules), request.get_int_custom_property("model_id"))
        approved = int(status is Status.APPROVED)
        if status is Status.REJECTED:
            reason = "; ".join(f"{one.who}: {one.why}" for one in last_words(made) if not one.approved)
        report = {"author": author, "decisions": [asdict(decision) for decision in made]}
        with fileio.open(os.path.join(approval.uri, _REPORT), "w") as file:
            json.dump(report, file, indent=1)
        logger.info(str(status), extra={"fields": {"by": ", ".join(decision.who for decision in made)}})
    approval.set_int_custom_property("approved", approved)
    approval.set_string_custom_property("reason", quote(reason, safe=" @"))


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
    if approval is None:
        raise _pending(model.id, rules, Status.PENDING)
    if not approval.get_int_custom_property("approved"):
        return []
    report = json.loads(io_utils.read_string_file(os.path.join(approval.uri, _REPORT)))
    decisions = [Decision(**decision) for decision in report["decisions"]]
    if any(decision.fingerprint != fingerprint(files) for decision in decisions):
        raise RunError(
            f"the files of model {model.id} are not those that were approved; train it anew: agnews run --no-cache"
        )
    status = _judged(decisions, report["author"], rules, model.id)
    return decisions if status is Status.APPROVED else []


def _judged(decisions: list[Decision], author: str, rules: Rules, model_id: int) -> Status:
    status = judge(decisions, author, rules, datetime.now(UTC))
    if status in (Status.PENDING, Status.EXPIRED):
        raise _pending(model_id, rules, status)
    return status


def _pending(model_id: int, rules: Rules, status: Status) -> ApprovalPending:
    what = "its approval has expired; again" if status is Status.EXPIRED else "waiting for approval"
    people = f" by {rules.approvers} people" if rules.approvers > 1 else ""
    return ApprovalPending(
        f"{what}{people}: agnews approve {model_id} --reason … (or agnews reject), then the same agnews run"
    )
