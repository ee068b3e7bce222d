"""The components of the approval gate.

They fit TFX's cache: a request is made once for a model; the gate's key holds the decisions, so that it runs again
when one is added; and a gate that waits fails, and what failed is never taken from the cache. An approval that was
used stays good: its gate comes from the cache, and so does the push.
"""

from typing import List  # noqa: UP035 - TFX's decorator looks for this one
from urllib.parse import quote, unquote

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.approval.artifacts import Approval, ApprovalDecision, ApprovalRequest, read_decision
from components.approval.rules import Rules
from components.approval.verdict import ask_nobody, give_verdict
from components.exports import author_of, files_of
from serving.audit import fingerprint


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
    if not request.get_int_custom_property("wanted"):
        ask_nobody(approval)
        return
    made = [read_decision(decision) for decision in decisions or []]
    author = unquote(request.get_string_custom_property("author"))
    model_id = request.get_int_custom_property("model_id")
    how = f"agnews approve {model_id} --reason … (or agnews reject), then the same agnews run"
    give_verdict(approval, made, author, Rules.from_json(rules), how)
