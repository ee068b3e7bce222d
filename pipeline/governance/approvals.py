"""Requests for approval and the decisions on them: what is the same wherever they are kept.

`stored_approvals` keeps them in the metadata store, `logged_approvals` in the audit log alone.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

from tfx.utils import path_utils

from components.approval import Decision, Rules, Status
from components.approval.rules import may_approve
from components.exports import files_of
from pipeline.governance.approved_cards import note_card
from pipeline.settings import Settings
from schema.errors import ApprovalError
from serving.audit import APPROVE, DECIDED, REJECT, AuditLog, Entry, fingerprint, person

_DIGITS = 12
_FEWEST_DIGITS = 8


@dataclass(frozen=True)
class Request:
    """A model that asks to be pushed.

    Attributes:
        model_id: of the Model artifact in the metadata store; None where there is no store.
        uri: of that artifact.
        fingerprint: of its export when the request was made.
        author: who trained it, empty when that is not known.
        requested: UTC, seconds since the epoch.
        decisions: all on this fingerprint, oldest first.
        status: by the rules, now; in the metadata store what passed the gate stays approved when its approvals grow
            old.
        card: directory of its model card, empty where there is none.
    """

    model_id: int | None
    uri: str
    fingerprint: str
    author: str
    requested: float
    decisions: tuple[Decision, ...]
    status: Status
    card: str = ""

    @property
    def name(self) -> str:
        """What people call the model by: its id, or the first digits of its fingerprint."""
        return self.fingerprint[:_DIGITS] if self.model_id is None else str(self.model_id)

    def is_called(self, name: str) -> bool:
        """Whether a name is its id, or eight or more of the first digits of its fingerprint."""
        digits = name.lower()
        return name == self.name or (len(digits) >= _FEWEST_DIGITS and self.fingerprint.startswith(digits))


class Approvals(ABC):
    """The requests of a pipeline.

    Args:
        settings: name of the pipeline and of the model, and the gate's rules.
        log: where decisions are entered.
    """

    next_step: str
    """What pushes a model that was approved, for people."""

    def __init__(self, settings: Settings, log: AuditLog):
        self._settings = settings
        self._log = log
        self.rules = rules_of(settings)

    @abstractmethod
    def requests(self, now: datetime) -> list[Request]:
        """All requests, oldest first; one a model.

        Args:
            now: with a time zone.
        """

    def decide(self, model: str, *, approved: bool, who: str, why: str, now: datetime) -> Request:
        """Records an approval or a rejection, first in the audit log, with the model card that was there.

        Args:
            model: what a request's model is called by.
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
            RunError: it was entered, and cannot be recorded: it does not count.
        """
        who, why = who.strip(), why.strip()
        if not person(who) or not why:
            raise ApprovalError("a decision needs a name and a reason")
        request = self._require(model, now)
        self._require_unchanged(request)
        if approved:
            self._require_may_approve(request, who)
        decision = Decision(request.fingerprint, approved, who, now.isoformat(timespec="milliseconds"), why)
        # Where there is a metadata store it has these as well; verify compares them.
        stored = {} if request.model_id is None else {"model_id": request.model_id, DECIDED: decision.when}
        receipt = self._log.append(
            Entry(
                APPROVE if approved else REJECT,
                model=self._settings.pusher.model_name,
                fingerprint=request.fingerprint,
                by=who,
                why=why,
                details=stored | {"author": request.author} | note_card(request.card),
            )
        )
        self._record(decision, request, receipt)
        same = (request.model_id, request.fingerprint)
        return next(one for one in self.requests(now) if (one.model_id, one.fingerprint) == same)

    @abstractmethod
    def _record(self, decision: Decision, request: Request, receipt: str) -> None:
        """Writes an entered decision to where else it belongs."""

    def _require(self, model: str, now: datetime) -> Request:
        requests = self.requests(now)
        called = [request for request in requests if request.is_called(model)]
        if not called:
            known = ", ".join(request.name for request in requests)
            known = known or "none; a run with promotion.require_approval makes one"
            settings = self._settings
            raise ApprovalError(
                f"no request for model {model}; there are: {known}; looked for those of pipeline.name "
                f"{settings.pipeline.name} and pusher.model_name {settings.pusher.model_name}"
            )
        if len({request.fingerprint for request in called}) > 1:
            names = ", ".join(request.fingerprint for request in called)
            raise ApprovalError(f"{model} may be each of {names}: give more digits")
        return called[-1]

    def _require_unchanged(self, request: Request) -> None:
        try:
            found = fingerprint(files_of(path_utils.serving_model_path(request.uri)))
        except OSError as error:
            raise ApprovalError(f"the files of model {request.name} cannot be read: {error}; train it anew") from error
        if found != request.fingerprint:
            raise ApprovalError(
                f"the files of model {request.name} under {request.uri} changed since approval was asked for; train it "
                "anew: agnews run --no-cache"
            )

    def _require_may_approve(self, request: Request, who: str) -> None:
        if may_approve(who, request.author, self.rules):
            return
        if request.author:
            reason = f"{request.author} trained it, so another person must approve it"
        else:
            reason = "it does not say who trained it, so nobody is known to be another person; train it anew"
        raise ApprovalError(
            f"{who} cannot approve model {request.name}: {reason} (or set promotion.author_may_approve)"
        )


def rules_of(settings: Settings) -> Rules:
    """The gate's rules."""
    promotion = settings.promotion
    return Rules(promotion.approvers, promotion.author_may_approve, promotion.expires_hours)
