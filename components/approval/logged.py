"""The gate where no metadata store can be asked: the audit log holds the requests, and what was decided on them.

Pods and people share it as a file. Who decides finds the request there, and beside it, in `cards`, the model's card.
"""

from pathlib import Path

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.approval.artifacts import Approval
from components.approval.entries import decisions_in, requests_in
from components.approval.rules import Rules
from components.approval.verdict import ask_nobody, give_verdict
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
    """Enters the request of a blessed model, once for a fingerprint, and judges by the decisions that were entered.

    Args:
        model: the export.
        model_blessing: Evaluator's verdict.
        infra_blessing: InfraValidator's verdict.
        model_card: what people read before they decide.
        approval: the verdict.
        rules: as JSON.
        log: file of the audit log.
        model_name: that TensorFlow Serving knows it by.
        trained_by: who started the run: a pod's own name is no person's. The first one to ask stays the author.

    Raises:
        ApprovalPending: it needs more approvals, or theirs are too old.
        AuditError: the log cannot be read or written, or was changed: then nobody knows who decided what.
    """
    if not (model_utils.is_model_blessed(model_blessing) and model_utils.is_infra_validated(infra_blessing)):
        ask_nobody(approval)
        return
    opened = AuditLog(Path(log))
    digest = fingerprint(files_of(path_utils.serving_model_path(model.uri)))
    asked = requests_in(opened.lines()).get(digest)
    if asked is None:
        asked = Entry(
            REQUEST,
            model=model_name,
            fingerprint=digest,
            by=trained_by,
            why="blessed",
            details={"model": model.uri, "card": _kept_card(model_card, opened, digest)},
        )
        opened.append(asked)
    lines = opened.lines()
    if flaws := breaks(lines):
        raise AuditError(f"{opened.path} is not as it was written: {flaws[0]}; agnews audit verify names it all")
    how = f"agnews approve {digest[:12]} --reason … (or agnews reject) on {opened.path}, then the same run again"
    give_verdict(approval, decisions_in(lines, digest), asked.by, Rules.from_json(rules), how)


def _kept_card(card: Artifact, log: AuditLog, name: str) -> str:
    """Copies the card to where people can read it: an artifact of a pod lies in the cluster's object store."""
    place = log.path.parent / _CARDS / name
    make_directory(place.parent)
    io_utils.copy_dir(card.uri, str(place))
    make_readable(place)
    return str(place)
