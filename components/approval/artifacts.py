"""The artifacts of the approval gate, and how a decision is written into one."""

from urllib.parse import quote, unquote

from tfx.types import Artifact

from components.approval.rules import Decision


class ApprovalRequest(Artifact):
    """A model asks to be pushed.

    Custom properties: `model_id`, `fingerprint` of its export, `author` (who trained it), `wanted` (0 when it was not
    blessed, and nobody is asked).
    """

    TYPE_NAME = "AgNewsApprovalRequest"


class ApprovalDecision(Artifact):
    """Somebody approved or rejected a model. Custom properties: those of `Decision`, and `audit`, a receipt."""

    TYPE_NAME = "AgNewsApprovalDecision"


class Approval(Artifact):
    """The gate's verdict: `approved` (0 or 1), and the `reason` of a rejection; approval.json holds the decisions."""

    TYPE_NAME = "agnews.Approval"


def write_decision(decision: Decision) -> dict[str, str | int]:
    """A decision as properties. ML Metadata writes a backslash into PostgreSQL with a syntax error: quoted."""
    return {
        "fingerprint": decision.fingerprint,
        "approved": int(decision.approved),
        "who": quote(decision.who, safe=" @"),
        "when": decision.when,
        "why": quote(decision.why, safe=" "),
    }


def read_decision(artifact: Artifact) -> Decision:
    """The decision of an ApprovalDecision."""
    return Decision(
        fingerprint=artifact.get_string_custom_property("fingerprint"),
        approved=artifact.get_int_custom_property("approved") == 1,
        who=unquote(artifact.get_string_custom_property("who")),
        when=artifact.get_string_custom_property("when"),
        why=unquote(artifact.get_string_custom_property("why")),
    )
