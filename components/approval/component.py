"""The artifacts, components and resolver of the approval gate, and the check that Pusher makes.

They fit TFX's cache. A request is made once for a model. The decisions are part of the gate's cache key, so a new
decision makes the gate run again. A gate that waits fails, and TFX never takes a failed execution from the cache. An
approval that was used stays valid: the gate comes from the cache, and so does the push.
"""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import List  # noqa: UP035 - TFX's decorator looks for this one

import ml_metadata as mlmd
from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.dsl.io import fileio
from tfx.types import Artifact, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.approval.rules import Decision, Rules, Status, judge, last_decisions, postdated
from components.exports import author_of, files_of
from schema import metadata
from schema.errors import ApprovalPending, RunError
from serving.audit import fingerprint

logger = logging.getLogger(__name__)

_REPORT = "approval.json"


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

    Custom properties: `approved` (0 or 1), and the `reason` of a rejection. The file approval.json holds the decisions.
    """

    TYPE_NAME = metadata.APPROVAL


def write_decision(decision: Decision) -> dict[str, str | int]:
    """Returns the custom properties of an ApprovalDecision."""
    return {
        "fingerprint": decision.fingerprint,
        "approved": int(decision.approved),
        "who": metadata.encode_text(decision.who),
        "when": decision.when,
        "why": metadata.encode_text(decision.why),
    }


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
    """Requests approval of a model that Evaluator and InfraValidator blessed. The request names the model's files."""
    export = path_utils.serving_model_path(model.uri)
    request.set_int_custom_property("model_id", model.id)
    blessed = model_utils.is_model_blessed(model_blessing) and model_utils.is_infra_validated(infra_blessing)
    request.set_int_custom_property("wanted", int(blessed))
    request.set_string_custom_property("fingerprint", fingerprint(files_of(export)))
    request.set_string_custom_property("author", metadata.encode_text(author_of(export)))


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
    with fileio.open(os.path.join(approval.uri, _REPORT), "w") as file:
        json.dump({"author": author, "decisions": [asdict(decision) for decision in made]}, file, indent=1)
    logger.info(str(status), extra={"fields": {"by": ", ".join(decision.who for decision in made)}})
    _set_result(approval, status is Status.APPROVED, "; ".join(f"{one.who}: {one.why}" for one in rejections))


def require_approval(approval: Artifact | None, rules: Rules, model: Artifact, files: dict[str, str]) -> list[Decision]:
    """Checks an approval again before the push: the gate may have run long ago, for other files, or not at all.

    Args:
        approval: the gate's result; None without a gate.
        rules: the gate's rules.
        model: the Model to push.
        files: SHA-256 of each file of its export, by path.

    Returns:
        The decisions; empty when the model was rejected or not blessed.

    Raises:
        ApprovalPending: the model has no approval, or its approval has expired.
        RunError: the approved files were different.
    """
    digest = fingerprint(files)
    how = f"agnews approvals approve {digest[:12]} --reason … (or reject), then the same run again"
    if approval is None:
        raise _pending(rules, Status.PENDING, how)
    if not approval.get_int_custom_property("approved"):
        return []
    report = json.loads(io_utils.read_string_file(os.path.join(approval.uri, _REPORT)))
    decisions = [Decision(**decision) for decision in report["decisions"]]
    if any(decision.fingerprint != digest for decision in decisions):
        raise RunError(
            f"the files of model {model.id} are not the approved ones; train it again: agnews run --no-cache"
        )
    status = _require_decided(decisions, report["author"], rules, how)
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
