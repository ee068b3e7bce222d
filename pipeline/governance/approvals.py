"""Requests for approval and the decisions on them, in the metadata store."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.approval import Decision, Rules, Status, describe_progress, judge, write_decision
from components.approval.rules import may_approve
from components.manifest import EXPORT, JUDGED, files_of
from pipeline.governance.audit_check import card_snapshot
from pipeline.metadata.connection import refusal
from pipeline.metadata.graph import (
    find_producers,
    live_artifacts,
    pipeline_artifacts,
    properties,
    run_outputs,
)
from pipeline.settings import Settings
from schema.errors import ApprovalError, RunError
from schema.metadata import (
    APPROVAL,
    APPROVAL_DECISION,
    APPROVAL_REQUEST,
    DECISION_EXECUTION,
    MODEL_CARD,
    PIPELINE_CONTEXT,
    decode_text,
)
from schema.paths import is_remote
from serving.audit import APPROVE, DECIDED, PROOF, REJECT, AuditLog, Entry, Proof, check_name, fingerprint, person
from serving.promotion import Deployment, PromotionError

REQUEST = "RequestApproval"
_FEWEST_DIGITS = 8


@dataclass(frozen=True)
class Request:
    """A request to push a model.

    Attributes:
        model_id: id of the Model artifact in the metadata store.
        uri: URI of the Model artifact.
        fingerprint: of its export at the time of the request.
        author: who trained it, empty if unknown.
        requested: UTC, seconds since the epoch.
        decisions: all decisions on this fingerprint, oldest first.
        status: by the rules, now. In the metadata store a model that has passed the gate stays approved when its
            approvals expire.
        progress: how many approvals it has, and who can give those that are missing.
        card: directory of its model card, empty if there is none.
    """

    model_id: int
    uri: str
    fingerprint: str
    author: str
    requested: float
    decisions: tuple[Decision, ...]
    status: Status
    progress: str = ""
    card: str = ""

    @property
    def name(self) -> str:
        """The model's name for people: its id."""
        return str(self.model_id)

    def is_called(self, name: str) -> bool:
        """Returns whether a name is the model's id, or eight or more of the first digits of its fingerprint."""
        digits = name.lower()
        return name == self.name or (len(digits) >= _FEWEST_DIGITS and self.fingerprint.startswith(digits))


class Approvals:
    """The requests that the runs of a pipeline left in the metadata store.

    Args:
        store: the metadata store.
        settings: names of the pipeline and the model, and the gate's rules.
        log: the audit log that decisions are entered in.
    """

    def __init__(self, store: MetadataStore, settings: Settings, log: AuditLog):
        self._store = store
        self._settings = settings
        self._log = log
        self.rules = rules_of(settings)

    def requests(self, now: datetime) -> list[Request]:
        """Returns all requests, oldest first, one per model.

        Args:
            now: with a time zone.
        """
        decisions = [Decision.from_properties(one.custom_properties) for one in self._artifacts(APPROVAL_DECISION)]
        passed = self._passed()
        # Only a card that judged the requested files is evidence for them.
        cards = {
            (noted.get("model_id"), noted.get(JUDGED)): one.uri
            for one in live_artifacts(self._store, MODEL_CARD)
            if (noted := properties(one))
        }
        artifacts = [one for one in self._artifacts(APPROVAL_REQUEST) if properties(one).get("wanted")]
        ids = {properties(one)["model_id"] for one in artifacts}
        uris = {model.id: model.uri for model in self._store.get_artifacts_by_id(ids)} if ids else {}
        found = {}
        for artifact in artifacts:
            noted = properties(artifact)
            model, digest, author = noted["model_id"], noted["fingerprint"], decode_text(noted["author"])
            made = tuple(decision for decision in decisions if decision.fingerprint == digest)
            status = judge(made, author, self.rules, now, was_used=artifact.id in passed)
            progress = describe_progress(made, author, self.rules, now, was_used=artifact.id in passed)
            requested = artifact.create_time_since_epoch / 1000
            card = cards.get((model, digest), "")
            found[model] = Request(model, uris[model], digest, author, requested, made, status, progress, card)
        return list(found.values())

    def _passed(self) -> set[int]:
        """Returns the ids of the requests that a gate approved."""
        passed = [one.id for one in live_artifacts(self._store, APPROVAL) if properties(one).get("approved")]
        gates = list(find_producers(self._store, passed).values())
        events = self._store.get_events_by_execution_ids(gates) if gates else []
        return {
            one.artifact_id for one in events if one.type == mlmd.Event.INPUT and one.path.steps[0].key == "request"
        }

    def _artifacts(self, type_name: str) -> list[mlmd.Artifact]:
        """Returns what the gate's resolver finds: a decision on another pipeline's request would not count."""
        return pipeline_artifacts(self._store, self._settings.pipeline.name, type_name)

    def decide(
        self, model: str, *, approved: bool, who: str, why: str, now: datetime, proof: Proof = Proof.NONE
    ) -> Request:
        """Records an approval or a rejection, first in the audit log, together with the current model card.

        Args:
            model: name of the model, see `Request.is_called`, or of the run that requests the approval.
            approved: False for a rejection.
            who: identity of the person; must not be empty.
            why: the reason; must not be empty.
            now: with a time zone.
            proof: how the person proved the name.

        Returns:
            The request with the decision.

        Raises:
            ApprovalError: a name or a reason is missing, there is no such request, its files changed, or the rules do
                not let `who` approve it.
            SettingsError: the name has characters that are not allowed, see `check_name`.
            AuditError: the decision cannot be entered in the log.
            RunError: it was entered but could not be recorded in the metadata store, so it does not count.
        """
        who, why = check_name(who, "name"), why.strip()
        if not person(who) or not why:
            raise ApprovalError("a decision needs a name and a reason")
        request = self._require(model, now)
        self._require_unchanged(request)
        if approved:
            self._require_may_approve(request, who)
        decision = Decision(
            request.fingerprint, approved, who, now.isoformat(timespec="milliseconds"), why, proof=proof
        )
        # The metadata store has these as well; `agnews audit verify` compares them.
        stored = {"model_id": request.model_id, DECIDED: decision.when} | ({PROOF: str(proof)} if proof else {})
        receipt = self._log.append(
            Entry(
                APPROVE if approved else REJECT,
                model=self._settings.pusher.model_name,
                fingerprint=request.fingerprint,
                by=who,
                why=why,
                details=stored | {"author": request.author} | card_snapshot(request.card),
            )
        )
        self._record(decision, request, receipt)
        return next(one for one in self.requests(now) if one.model_id == request.model_id)

    def live_versions(self, model: int) -> list[int]:
        """Returns the versions of a model that servers load now, by the files in the serving directory."""
        pusher = self._settings.pusher
        if is_remote(pusher.destination):
            return []
        deployment = Deployment(Path(pusher.destination), pusher.model_name, self._store, audit=self._log)
        try:
            served, pushed = deployment.served(), deployment.dated_versions()
        except (PromotionError, OSError):
            return []
        live = {*served.versions, served.production_version}
        return [number for number, version in pushed.items() if version.model_id == model and number in live]

    def _require(self, model: str, now: datetime) -> Request:
        requests, of_run = self.requests(now), self._requested_by_run(model)
        called = [one for one in requests if one.is_called(model) or one.model_id == of_run]
        if not called:
            known = ", ".join(request.name for request in requests)
            known = known or "none (a run with promotion.require_approval makes one)"
            settings = self._settings
            raise ApprovalError(
                f"no request for model {model}; models with a request: {known}. Searched with pipeline.name "
                f"{settings.pipeline.name} and pusher.model_name {settings.pusher.model_name}"
            )
        if len({request.fingerprint for request in called}) > 1:
            names = ", ".join(request.fingerprint for request in called)
            raise ApprovalError(f"{model} matches several models: {names}; give more digits")
        return called[-1]

    def _requested_by_run(self, name: str) -> int | None:
        """Returns the id of the model that a run requests an approval for; None if there is no such run or request."""
        try:
            request = run_outputs(self._store, name).get((REQUEST, "request"))
        except LookupError:
            return None
        return request and properties(request)["model_id"]

    def _require_unchanged(self, request: Request) -> None:
        try:
            found = fingerprint(files_of(os.path.join(request.uri, EXPORT)))
        except OSError as error:
            raise ApprovalError(
                f"cannot read the files of model {request.name}: {error}; train the model again"
            ) from error
        if found != request.fingerprint:
            raise ApprovalError(
                f"the files of model {request.name} under {request.uri} changed after the request; train it again: "
                "agnews run --no-cache"
            )

    def _require_may_approve(self, request: Request, who: str) -> None:
        if may_approve(who, request.author, self.rules):
            return
        if request.author:
            reason = f"{request.author} trained it, so another person must approve it"
        else:
            reason = "its author is unknown, so anyone could be the author; train it again"
        raise ApprovalError(
            f"{who} cannot approve model {request.name}: {reason} (or set promotion.author_may_approve)"
        )

    def _record(self, decision: Decision, request: Request, receipt: str) -> None:
        try:
            self._put(decision, request, receipt)
        except StatusError as error:
            raise RunError(
                "the decision is in the audit log but not in the metadata store, so it does not count: "
                f"{refusal(error)}, then decide again"
            ) from error

    def _put(self, decision: Decision, request: Request, receipt: str) -> None:
        store = self._store
        artifact = mlmd.Artifact(
            type_id=store.put_artifact_type(mlmd.ArtifactType(name=APPROVAL_DECISION)),
            state=mlmd.Artifact.LIVE,
            uri="",
        )
        for key, value in (write_decision(decision) | {"audit": receipt}).items():
            kind = "int_value" if isinstance(value, int) else "string_value"
            setattr(artifact.custom_properties[key], kind, value)
        [model] = store.get_artifacts_by_id([request.model_id])
        execution = mlmd.Execution(
            type_id=store.put_execution_type(mlmd.ExecutionType(name=DECISION_EXECUTION)),
            last_known_state=mlmd.Execution.COMPLETE,
        )
        # The runs' resolver searches the pipeline's context.
        pipeline = store.get_context_by_type_and_name(PIPELINE_CONTEXT, self._settings.pipeline.name)
        store.put_execution(
            execution,
            [(model, _event(mlmd.Event.INPUT, "model")), (artifact, _event(mlmd.Event.OUTPUT, "decision"))],
            [pipeline],
        )


def _event(kind: "mlmd.Event.Type", key: str) -> mlmd.Event:
    return mlmd.Event(type=kind, path=mlmd.Event.Path(steps=[{"key": key}, {"index": 0}]))


def rules_of(settings: Settings) -> Rules:
    """Returns the gate's rules."""
    promotion = settings.promotion
    return Rules(promotion.approvers, promotion.author_may_approve, promotion.expires_hours)
