"""What is enough to push a model: how many people, who of them, and for how long."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from schema.audit import person


class Status(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Rules:
    """The settings of the gate.

    Attributes:
        approvers: how many different people must approve.
        author_may_approve: whether the approval of who trained the model counts.
        expires_hours: hours after which an approval no longer counts.
    """

    approvers: int
    author_may_approve: bool
    expires_hours: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Rules":
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Decision:
    """What somebody decided on a model.

    Attributes:
        fingerprint: of the model's export.
        approved: False for a rejection.
        who: name@host, or a given name.
        when: UTC, ISO 8601.
        why: the reason given.
    """

    fingerprint: str
    approved: bool
    who: str
    when: str
    why: str


def may_approve(who: str, author: str, rules: Rules) -> bool:
    """Whether an approval counts. Of a model whose author is not known nobody is known not to be the author."""
    return rules.author_may_approve or (bool(author) and person(who) != person(author))


def judge(decisions: Iterable[Decision], author: str, rules: Rules, now: datetime) -> Status:
    """Where a model stands: each person's last decision counts, and one rejection outweighs all approvals.

    Args:
        decisions: on this very model.
        author: who trained it, empty when that is not known.
        rules: the gate's.
        now: with a time zone.
    """
    last = last_words(decisions)
    if not all(decision.approved for decision in last):
        return Status.REJECTED
    counted = [decision for decision in last if may_approve(decision.who, author, rules)]
    valid = [decision for decision in counted if now - _when(decision) < timedelta(hours=rules.expires_hours)]
    if len(valid) >= rules.approvers:
        return Status.APPROVED
    return Status.EXPIRED if len(counted) >= rules.approvers else Status.PENDING


def last_words(decisions: Iterable[Decision]) -> list[Decision]:
    """Each person's last decision."""
    return list({person(decision.who): decision for decision in sorted(decisions, key=_when)}.values())


def _when(decision: Decision) -> datetime:
    return datetime.fromisoformat(decision.when)
