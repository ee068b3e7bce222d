"""What is enough to push a model: how many people, who of them, and for how long."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from serving.audit import person

# Hosts whose clocks are set by the network's differ by less.
_CLOCKS_DIFFER = timedelta(minutes=5)


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
        decisions: on this very model, oldest first.
        author: who trained it, empty when that is not known.
        rules: the gate's.
        now: with a time zone.
    """
    last = last_words(decisions)
    if not all(decision.approved for decision in last):
        return Status.REJECTED
    early = postdated(last, now)
    counted = [one for one in last if one not in early and may_approve(one.who, author, rules)]
    valid = [decision for decision in counted if now - _when(decision) < timedelta(hours=rules.expires_hours)]
    if len(valid) >= rules.approvers:
        return Status.APPROVED
    return Status.EXPIRED if len(counted) >= rules.approvers else Status.PENDING


def last_words(decisions: Iterable[Decision]) -> list[Decision]:
    """Each person's last decision; the given order says which that is, since clocks of different hosts differ.

    Args:
        decisions: oldest first, as the metadata store's ids and the audit log's lines have them.
    """
    return list({person(decision.who): decision for decision in decisions}.values())


def postdated(decisions: Iterable[Decision], now: datetime) -> list[Decision]:
    """The approvals whose time is yet to come: they would not expire in time, and do not count.

    Args:
        decisions: on a model.
        now: with a time zone.
    """
    return [decision for decision in decisions if decision.approved and _when(decision) - now > _CLOCKS_DIFFER]


def _when(decision: Decision) -> datetime:
    return datetime.fromisoformat(decision.when)
