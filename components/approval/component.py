"""The artifacts, components and resolver of the approval gate, and the check that Pusher makes.

They fit TFX's cache. A request is made once for a model. The decisions are part of the gate's cache key, so a new
decision makes the gate run again. A gate that waits fails, and TFX never takes a failed execution from the cache. An
approval that was used stays valid: the gate comes from the cache, and so does the push.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import List  # noqa: UP035 - TFX's decorator looks for this one

import ml_metadata as mlmd
from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, standard_artifacts

from components.approval.rules import Decision, Rules, Status, is_logged, judge, last_decisions, postdated
from components.manifest import JUDGED, author_of, require_judged, require_unchanged
from schema import metadata
from schema.errors import ApprovalPending, AuditError
from serving.audit import Line, fingerprint

logger = logging.getLogger(__name__)

_AUTHOR, _DECISIONS = "author", "decisions"


class ApprovalRequest(Artifact):
    """A request to push a model.

    Custom properties: `model_id`, `fingerprint` of the export, `author`, and `wanted`, which is 0 when the model was
    not blessed, so that no approval is needed.
    """

    TYPE_NAME = metadata.APPROVAL_REQUEST


class ApprovalDecision(Artifact):
    """A person's approval or rejection. Custom properties: the fields of `Decision`, and the receipt `audit`."""

    TYPE_NAME = metadata.APPROVAL_DECISION


class Approval(Artifact):
    """The gate's result.

    Custom properties: `approved` (0 or 1), and the `reason` of a rejection; of a decided model also its author, the
    decisions as JSON, and the fingerprint of its export. There is no file: Pusher trusts the metadata store alone.
    """

    TYPE_NAME = metadata.APPROVAL


class DecisionsOnModel(ResolverStrategy):
    """Finds the decisions on the requested model, oldest first, in every run: people decide between runs.

    Inputs: `request`, the request of this run, and `decisions`, all decisions in the metadata store.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        [request] = input_dict["request"]
        digest = request.get_string_custom_property("fingerprint")
        decisions = [one for one in input_dict["decisions"] if one.get_string_custom_property("fingerprint") == digest]
        return {**input_dict, "decisions": sorted(decisions, key=lambda artifact: artifact.id)}


@component
def RequestApproval(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    request: OutputArtifact[ApprovalRequest],
) -> None:
    """Requests approval of a model that Evaluator and InfraValidator blessed. The request names the model's files.

    Raises:
        RunError: the files are not those that were trained, or a blessing is about others.
    """
    digest = fingerprint(require_unchanged(model))
    require_judged(digest, {"Evaluator": model_blessing, "InfraValidator": infra_blessing})
    request.set_int_custom_property("model_id", model.id)
    blessed = model_utils.is_model_blessed(model_blessing) and model_utils.is_infra_validated(infra_blessing)
    request.set_int_custom_property("wanted", int(blessed))
    request.set_string_custom_property("fingerprint", digest)
    request.set_string_custom_property("author", metadata.encode_text(author_of(model)))


@component
def ApprovalGate(
    request: InputArtifact[ApprovalRequest],
    approval: OutputArtifact[Approval],
    rules: Parameter[str],
    decisions: InputArtifact[List[ApprovalDecision]] = None,  # noqa: UP006
) -> None:
    """Ends the run while a model waits for approval. A rejected or unblessed model lets the run continue.

    Args:
        request: the request of this run.
        approval: the gate's result.
        rules: `Rules` as JSON.
        decisions: decisions on the model, oldest first.

    Raises:
        ApprovalPending: the model needs more approvals, or its approvals have expired.
    """
    if not request.get_int_custom_property("wanted"):
        _set_result(approval, False, "")
        return
    made = [Decision.from_properties(one.mlmd_artifact.custom_properties) for one in decisions or []]
    author = metadata.decode_text(request.get_string_custom_property("author"))
    model_id = request.get_int_custom_property("model_id")
    how = f"agnews approvals approve {model_id} --reason … (or reject), then the same agnews run"
    status = _require_decided(made, author, Rules.from_json(rules), how)
    rejections = [one for one in last_decisions(made) if not one.approved]
    decided = json.dumps([asdict(decision) for decision in made])
    approval.set_string_custom_property(_AUTHOR, metadata.encode_text(author))
    approval.set_string_custom_property(_DECISIONS, metadata.encode_text(decided))
    approval.set_string_custom_property(JUDGED, made[0].fingerprint)
    logger.info(str(status), extra={"fields": {"by": ", ".join(decision.who for decision in made)}})
    _set_result(approval, status is Status.APPROVED, "; ".join(f"{one.shown_who}: {one.why}" for one in rejections))


def require_approval(approval: Artifact | None, rules: Rules, digest: str, lines: Sequence[Line]) -> list[Decision]:
    """Checks an approval again before the push: the gate may have run long ago, for other files, or not at all.

    Args:
        approval: the gate's result; None without a gate.
        rules: the gate's rules.
        digest: fingerprint of the files to push.
        lines: lines of the audit log.

    Returns:
        The decisions; empty when the model was rejected or not blessed.

    Raises:
        ApprovalPending: the model has no approval, or its approval has expired.
        RunError: the approved files were different.
        AuditError: an approval is not in the audit log, so somebody else wrote it into the metadata store.
    """
    how = f"agnews approvals approve {digest[:12]} --reason … (or reject), then the same run again"
    if approval is None:
        raise _pending(rules, Status.PENDING, how)
    if not approval.get_int_custom_property("approved"):
        return []
    require_judged(digest, {"ApprovalGate": approval})
    author = metadata.decode_text(approval.get_string_custom_property(_AUTHOR))
    noted = json.loads(metadata.decode_text(approval.get_string_custom_property(_DECISIONS)))
    # Decisions on other files do not count.
    decisions = [one for one in (Decision(**values) for values in noted) if one.fingerprint == digest]
    status = _require_decided(decisions, author, rules, how)
    entries = {line.hash: line.entry for line in lines}
    for decision in decisions:
        if decision.approved and not is_logged(decision, author, entries.get(decision.entry)):
            raise AuditError(
                f"the audit log has no approval of {digest[:12]} by {decision.who} at {decision.when}: find out who "
                "wrote it into the metadata store (agnews audit verify); nothing was pushed"
            )
    return decisions if status is Status.APPROVED else []


def _set_result(approval: Artifact, approved: bool, reason: str) -> None:
    approval.set_int_custom_property("approved", int(approved))
    approval.set_string_custom_property("reason", metadata.encode_text(reason))


def _require_decided(decisions: list[Decision], author: str, rules: Rules, how: str) -> Status:
    now = datetime.now(UTC)
    status = judge(decisions, author, rules, now)
    if status in (Status.PENDING, Status.EXPIRED):
        raise _pending(rules, status, how, postdated(last_decisions(decisions), now))
    return status


def _pending(rules: Rules, status: Status, how: str, early: Iterable[Decision] = ()) -> ApprovalPending:
    what = "its approval has expired; again" if status is Status.EXPIRED else "waiting for approval"
    people = f" by {rules.approvers} people" if rules.approvers > 1 else ""
    void = "".join(
        f"; the approval by {one.who} is dated {one.when}, in the future, and does not count" for one in early
    )
    return ApprovalPending(f"{what}{people}{void}: {how}")
