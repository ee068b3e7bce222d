"""Requests for approval and the decisions on them, in the metadata store."""

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import unquote

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import Artifact
from tfx.utils import path_utils

from components.approval import (
    Approval,
    ApprovalDecision,
    ApprovalRequest,
    Decision,
    Rules,
    Status,
    judge,
    read_decision,
    write_decision,
)
from components.approval.rules import may_approve
from components.exports import files_of
from pipeline.settings import Settings
from schema.audit import AuditLog, Entry, fingerprint, person
from schema.errors import ApprovalError

_EXECUTION_TYPE = "agnews.ApprovalDecision"


@dataclass(frozen=True)
class Request:
    """A model that asks to be pushed.

    Attributes:
        model_id: of the Model artifact in the metadata store.
        uri: of that artifact.
        fingerprint: of its export when the request was made.
        author: who trained it, empty when that is not known.
        requested: UTC, seconds since the epoch.
        decisions: all on this fingerprint, oldest first.
        status: by the rules, now; what passed the gate stays approved when its approvals grow old.
    """

    model_id: int
    uri: str
    fingerprint: str
    author: str
    requested: float
    decisions: tuple[Decision, ...]
    status: Status


class Approvals:
    """The requests of a pipeline.

    Args:
        store: the metadata store.
        settings: name of the pipeline and of the model, and the gate's rules.
        log: where decisions are entered.
    """

    def __init__(self, store: MetadataStore, settings: Settings, log: AuditLog):
        self._store = store
        self._settings = settings
        self._log = log
        self.rules = rules_of(settings)

    def requests(self, now: datetime) -> list[Request]:
        """All requests, oldest first; one a model.

        Args:
            now: with a time zone.
        """
        decisions = [read_decision(artifact) for artifact in _artifacts(self._store, ApprovalDecision)]
        passed = self._passed()
        found = {}
        asking = [one for one in _artifacts(self._store, ApprovalRequest) if one.get_int_custom_property("wanted")]
        ids = [artifact.get_int_custom_property("model_id") for artifact in asking]
        uris = {model.id: model.uri for model in self._store.get_artifacts_by_id(ids)} if ids else {}
        for artifact in asking:
            request = self._request(artifact, uris[artifact.get_int_custom_property("model_id")], decisions, now)
            if request.status is Status.EXPIRED and artifact.id in passed:
                request = replace(request, status=Status.APPROVED)
            found[request.model_id] = request
        return list(found.values())

    def decide(self, model_id: int, *, approved: bool, who: str, why: str, now: datetime) -> Request:
        """Records an approval or a rejection, first in the audit log.

        Args:
            model_id: of a request's model.
            approved: False for a rejection.
            who: the name that counts.
            why: the reason; both must say something.
            now: with a time zone.

        Returns:
            The request with the decision.

        Raises:
            ApprovalError: a name or a reason is missing, there is no such request, its files changed, or the rules do
                not let `who` approve it.
            AuditError: the decision cannot be entered.
        """
        who, why = who.strip(), why.strip()
        if not person(who) or not why:
            raise ApprovalError("a decision needs a name and a reason")
        request = self._require(model_id, now)
        if approved:
            self._require_may_approve(request, who)
        decision = Decision(request.fingerprint, approved, who, now.isoformat(timespec="milliseconds"), why)
        receipt = self._log.append(
            Entry(
                "approve" if approved else "reject",
                model=self._settings.pusher.model_name,
                fingerprint=request.fingerprint,
                by=who,
                why=why,
                details={"model_id": model_id, "author": request.author},
            )
        )
        self._put(decision, request, receipt)
        return self._require(model_id, now)

    def _require(self, model_id: int, now: datetime) -> Request:
        requests = {request.model_id: request for request in self.requests(now)}
        if model_id not in requests:
            known = ", ".join(map(str, requests)) or "none; agnews run with promotion.require_approval makes one"
            raise ApprovalError(f"no request for model {model_id}; there are: {known}")
        request = requests[model_id]
        try:
            found = fingerprint(files_of(path_utils.serving_model_path(request.uri)))
        except OSError as error:
            raise ApprovalError(f"the files of model {model_id} cannot be read: {error}; train it anew") from error
        if found != request.fingerprint:
            raise ApprovalError(
                f"the files of model {model_id} under {request.uri} changed since approval was asked for; train it "
                "anew: agnews run --no-cache"
            )
        return request

    def _require_may_approve(self, request: Request, who: str) -> None:
        if may_approve(who, request.author, self.rules):
            return
        if request.author:
            reason = f"{request.author} trained it, so another person must approve it"
        else:
            reason = "it does not say who trained it, so nobody is known to be another person; train it anew"
        raise ApprovalError(
            f"{who} cannot approve model {request.model_id}: {reason} (or set promotion.author_may_approve)"
        )

    def _request(self, artifact: Artifact, uri: str, decisions: list[Decision], now: datetime) -> Request:
        digest = artifact.get_string_custom_property("fingerprint")
        author = unquote(artifact.get_string_custom_property("author"))
        model_id = artifact.get_int_custom_property("model_id")
        made = tuple(decision for decision in decisions if decision.fingerprint == digest)
        requested = artifact.mlmd_artifact.create_time_since_epoch / 1000
        return Request(model_id, uri, digest, author, requested, made, judge(made, author, self.rules, now))

    def _passed(self) -> set[int]:
        """The requests for which a gate approved."""
        gates = [a.id for a in _artifacts(self._store, Approval) if a.get_int_custom_property("approved")]
        made_by = [e.execution_id for e in self._store.get_events_by_artifact_ids(gates)] if gates else []
        events = self._store.get_events_by_execution_ids(made_by) if made_by else []
        return {event.artifact_id for event in events if event.type == mlmd.Event.INPUT}

    def _put(self, decision: Decision, request: Request, receipt: str) -> None:
        store, name = self._store, ApprovalDecision.TYPE_NAME
        artifact = mlmd.Artifact(
            type_id=store.put_artifact_type(mlmd.ArtifactType(name=name)), state=mlmd.Artifact.LIVE, uri=""
        )
        for key, value in (write_decision(decision) | {"audit": receipt}).items():
            kind = "int_value" if isinstance(value, int) else "string_value"
            setattr(artifact.custom_properties[key], kind, value)
        [model] = store.get_artifacts_by_id([request.model_id])
        execution = mlmd.Execution(
            type_id=store.put_execution_type(mlmd.ExecutionType(name=_EXECUTION_TYPE)),
            last_known_state=mlmd.Execution.COMPLETE,
        )
        # In the pipeline's context, where the runs' resolver looks.
        pipeline = store.get_context_by_type_and_name("pipeline", self._settings.pipeline.name)
        store.put_execution(
            execution,
            [(model, _event(mlmd.Event.INPUT, "model")), (artifact, _event(mlmd.Event.OUTPUT, "decision"))],
            [pipeline],
        )


def rules_of(settings: Settings) -> Rules:
    """The gate's rules."""
    promotion = settings.promotion
    return Rules(promotion.approvers, promotion.author_may_approve, promotion.expires_hours)


def _artifacts(store: MetadataStore, kind: type[Artifact]) -> list[Artifact]:
    found = []
    for stored in sorted(store.get_artifacts_by_type(kind.TYPE_NAME), key=lambda one: one.id):
        if stored.state == mlmd.Artifact.LIVE:
            artifact = kind()
            artifact.set_mlmd_artifact(stored)
            found.append(artifact)
    return found


def _event(kind: "mlmd.Event.Type", key: str) -> mlmd.Event:
    return mlmd.Event(type=kind, path=mlmd.Event.Path(steps=[{"key": key}, {"index": 0}]))
