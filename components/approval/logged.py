"""The approval gate of pods, which cannot reach the metadata store: requests and decisions are in the audit log.

Pods and people share the log as a file. An approver finds the request there, and the model's card in the directory
`cards` next to it.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.approval.component import Approval, is_blessed, write_approval, write_not_requested
from components.approval.rules import Rules, logged_decisions, logged_requests
from components.exports import files_of
from components.model_card.component import ModelCard
from schema.errors import AuditError
from schema.files import make_directory, make_readable
from serving.audit import REQUEST, AuditLog, Entry, breaks, fingerprint

_CARDS = "cards"


@component
def LoggedApprovalGate(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    model_card: InputArtifact[ModelCard],
    approval: OutputArtifact[Approval],
    rules: Parameter[str],
    log: Parameter[str],
    model_name: Parameter[str],
    trained_by: Parameter[str],
) -> None:
    """Logs a request for a blessed model, once per fingerprint, and applies the rules to the logged decisions.

    Args:
        model: the export.
        model_blessing: Evaluator's blessing.
        infra_blessing: InfraValidator's blessing.
        model_card: the card that approvers read.
        approval: the gate's result.
        rules: `Rules` as JSON.
        log: file of the audit log.
        model_name: name of the model in TensorFlow Serving.
        trained_by: the person who started the run, since a pod runs under no person's name. The author of the first
            request stays the author.

    Raises:
        ApprovalPending: the model needs more approvals, or its approvals have expired.
        AuditError: the log cannot be read or written, or was changed, so that its decisions cannot be trusted.
    """
    if not is_blessed(model_blessing, infra_blessing):
        write_not_requested(approval)
        return
    opened = AuditLog(Path(log))
    digest = fingerprint(files_of(path_utils.serving_model_path(model.uri)))
    request = logged_requests(opened.lines()).get(digest)
    if request is None:
        request = Entry(
            REQUEST,
            model=model_name,
            fingerprint=digest,
            by=trained_by,
            why="blessed",
            details={"model": model.uri, "card": _copy_card(model_card, opened, digest)},
        )
        opened.append(request)
    lines = opened.lines()
    if flaws := breaks(lines):
        raise AuditError(f"{opened.path} was changed: {flaws[0]}; agnews audit verify lists all changes")
    how = f"agnews approvals approve {digest[:12]} --reason … (or reject) on {opened.path}, then the same run again"
    write_approval(approval, logged_decisions(lines, digest), request.by, Rules.from_json(rules), how)


def _copy_card(card: Artifact, log: AuditLog, name: str) -> str:
    """Copies the card to where people can read it: a pod's artifact is in the cluster's object store."""
    directory = log.path.parent / _CARDS / name
    make_directory(directory.parent)
    io_utils.copy_dir(card.uri, str(directory))
    make_readable(directory)
    return str(directory)
