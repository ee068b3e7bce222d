"""Requests for approval and the decisions on them, in the metadata store."""

from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote

from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import Artifact

from components.approval import (
    Approval,
    ApprovalDecision,
    ApprovalRequest,
    Decision,
    Status,
    judge,
    read_decision,
    write_decision,
)
from pipeline.governance.approvals import Approvals, Request
from pipeline.metadata.connection import artifacts_of, refusal
from pipeline.settings import Settings
from schema.errors import RunError
from serving.audit import AuditLog

_EXECUTION_TYPE = "agnews.ApprovalDecision"
_CARD = "agnews.ModelCard"


class StoredApprovals(Approvals):
    """The requests that the runs of a pipeline left in the metadata store.

    Args:
        store: the metadata store.
        settings: name of the pipeline and of the model, and the gate's rules.
        log: where decisions are entered.
    """

    next_step = "the same agnews run as before, which takes all else from the cache and pushes it"

    def __init__(self, store: MetadataStore, settings: Settings, log: AuditLog):
        super().__init__(settings, log)
        self._store = store

    def requests(self, now: datetime) -> list[Request]:
        decisions = [read_decision(artifact) for artifact in self._artifacts(ApprovalDecision)]
        passed, cards = self._passed(), self._cards()
        found = {}
        asking = [one for one in self._artifacts(ApprovalRequest) if one.get_int_custom_property("wanted")]
        ids = [artifact.get_int_custom_property("model_id") for artifact in asking]
        uris = {model.id: model.uri for model in self._store.get_artifacts_by_id(ids)} if ids else {}
        for artifact in asking:
            model_id = artifact.get_int_custom_property("model_id")
            request = self._request(artifact, uris[model_id], cards.get(model_id, ""), decisions, now)
            if request.status is Status.EXPIRED and artifact.id in passed:
                request = replace(request, status=Status.APPROVED)
            found[model_id] = request
        return list(found.values())

    def _request(self, artifact: Artifact, uri: str, card: str, decisions: list[Decision], now: datetime) -> Request:
        digest = artifact.get_string_custom_property("fingerprint")
        author = unquote(artifact.get_string_custom_property("author"))
        model_id = artifact.get_int_custom_property("model_id")
        made = tuple(decision for decision in decisions if decision.fingerprint == digest)
        requested = artifact.mlmd_artifact.create_time_since_epoch / 1000
        return Request(model_id, uri, digest, author, requested, made, judge(made, author, self.rules, now), card)

    def _cards(self) -> dict[int, str]:
        """The latest card of each model."""
        written = sorted(self._store.get_artifacts_by_type(_CARD), key=lambda one: one.id)
        return {one.custom_properties["model_id"].int_value: one.uri for one in written if _is_live(one)}

    def _passed(self) -> set[int]:
        """The requests for which a gate approved."""
        given = [one for one in self._store.get_artifacts_by_type(Approval.TYPE_NAME) if _is_live(one)]
        gates = [one.id for one in given if one.custom_properties["approved"].int_value]
        made_by = [e.execution_id for e in self._store.get_events_by_artifact_ids(gates)] if gates else []
        events = self._store.get_events_by_execution_ids(made_by) if made_by else []
        return {event.artifact_id for event in events if event.type == mlmd.Event.INPUT}

    def _artifacts(self, kind: type[Artifact]) -> list[Artifact]:
        """Those that the gate's resolver finds: what is decided on another pipeline's request would not count."""
        found = []
        for stored in artifacts_of(self._store, self._settings.pipeline.name, kind.TYPE_NAME):
            artifact = kind()
            artifact.set_mlmd_artifact(stored)
            found.append(artifact)
        return found

    def _record(self, decision: Decision, request: Request, receipt: str) -> None:
        try:
            self._put(decision, request, receipt)
        except StatusError as error:
            raise RunError(
                "the decision is in the audit log and does not count, since it is not in the metadata store: "
                f"{refusal(error)}, then decide again"
            ) from error

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


def _is_live(stored: mlmd.Artifact) -> bool:
    return stored.state == mlmd.Artifact.LIVE


def _event(kind: "mlmd.Event.Type", key: str) -> mlmd.Event:
    return mlmd.Event(type=kind, path=mlmd.Event.Path(steps=[{"key": key}, {"index": 0}]))
