"""The rules of the approval gate: how many people must approve a model, who may, and for how long an approval counts.

Nothing here needs TensorFlow or TFX.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from schema.metadata import decode_text, encode_text
from serving.audit import APPROVE, DECIDED, PROOF, Entry, Proof, person, proof_of, receipt_digest

# Hosts that synchronize their clocks over the network differ by less.
_CLOCK_TOLERANCE = timedelta(minutes=5)


class Status(StrEnum):
    """The state of a request."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Rules:
    """The settings of the gate.

    Attributes:
        approvers: number of different people who must approve.
        author_may_approve: whether the approval of the person who trained the model counts.
        expires_hours: hours after which an approval no longer counts.
    """

    approvers: int
    author_may_approve: bool
    expires_hours: float

    @property
    def lifetime(self) -> timedelta:
        """The time for which an approval counts."""
        return timedelta(hours=self.expires_hours)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Rules":
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Decision:
    """A person's decision on a model.

    Attributes:
        fingerprint: of the model's export.
        approved: False for a rejection.
        who: name@host, or a given name.
        when: UTC, ISO 8601.
        why: the given reason.
        entry: SHA-256 of its line in the audit log, empty if unknown.
        proof: value of the `Proof` of the name.
    """

    fingerprint: str
    approved: bool
    who: str
    when: str
    why: str
    entry: str = ""
    proof: str = Proof.NONE

    @property
    def shown_who(self) -> str:
        """The name for people to read, marked as a claim if nothing proved it."""
        return proof_of(self.proof).mark(self.who)

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> "Decision":
        """Reads a decision from the custom properties of an artifact in the metadata store.

        Args:
            properties: ML Metadata's values by name.
        """
        names = ("fingerprint", "who", "when", "why", "audit", PROOF)
        text = {name: properties[name].string_value for name in names if name in properties}
        return cls(
            fingerprint=text["fingerprint"],
            approved=properties["approved"].int_value == 1,
            who=decode_text(text["who"]),
            when=text["when"],
            why=decode_text(text["why"]),
            entry=receipt_digest(text.get("audit", "")),
            proof=text.get(PROOF, ""),
        )


def write_decision(decision: Decision) -> dict[str, str | int]:
    """Returns the custom properties of an ApprovalDecision."""
    return {
        "fingerprint": decision.fingerprint,
        "approved": int(decision.approved),
        "who": encode_text(decision.who),
        "when": decision.when,
        "why": encode_text(decision.why),
        **({PROOF: decision.proof} if decision.proof else {}),
    }


def may_approve(who: str, author: str, rules: Rules) -> bool:
    """Returns whether a person's approval counts. If the author is unknown, anyone could be the author."""
    return rules.author_may_approve or (bool(author) and person(who) != person(author))


def judge(decisions: Iterable[Decision], author: str, rules: Rules, now: datetime, *, was_used: bool = False) -> Status:
    """Applies the rules. The last decision of each person counts, and one rejection outweighs all approvals.

    Args:
        decisions: decisions on this model, oldest first.
        author: who trained the model, empty if unknown.
        rules: the gate's rules.
        now: with a time zone.
        was_used: whether a gate has already let the model pass; then its approvals do not expire.
    """
    last = last_decisions(decisions)
    if not all(decision.approved for decision in last):
        return Status.REJECTED
    if len(_counted(last, author, rules, now, was_used)) >= rules.approvers:
        return Status.APPROVED
    expired = len(_counted(last, author, rules, now, was_used=True)) >= rules.approvers
    return Status.EXPIRED if expired else Status.PENDING


def describe_progress(
    decisions: Iterable[Decision], author: str, rules: Rules, now: datetime, *, was_used: bool = False
) -> str:
    """Describes how many approvals a model has, until when they count, and who can give those that are missing.

    The arguments are those of `judge`.
    """
    last = last_decisions(decisions)
    if rejected := [one.who for one in last if not one.approved]:
        names = ", ".join(rejected)
        return f"Rejected by {names}. Only {names} can withdraw this, with a later approval."
    given = _counted(last, author, rules, now, was_used)
    names = f", by {', '.join(one.shown_who for one in given)}" if given else ""
    missing = rules.approvers - len(given)
    ends = min((_when(one) + rules.lifetime for one in given), default=None)
    until = f"valid until {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if ends and not was_used else ""
    counted = f"{len(given)} of {rules.approvers}{names}"
    if missing <= 0:
        return f"{counted}{f', {until}' if until else ''}."
    if not rules.author_may_approve and not author:
        return f"{counted}. Nobody can approve it, because its author is unknown: train it again."
    people = "Another person" if missing == 1 else f"{missing} other people"
    excluded = "" if rules.author_may_approve else f" than the author {author}"
    return f"{counted}{f', {until}' if until else ''}. {people}{excluded} must approve it."


def _counted(approvals: Sequence[Decision], author: str, rules: Rules, now: datetime, was_used: bool) -> list[Decision]:
    """Returns the approvals that count: from people who may approve, not dated in the future, and not expired."""
    early = postdated(approvals, now)
    return [
        one
        for one in approvals
        if one not in early and may_approve(one.who, author, rules) and (was_used or now - _when(one) < rules.lifetime)
    ]


def last_decisions(decisions: Iterable[Decision]) -> list[Decision]:
    """Returns the last decision of each person.

    The given order counts and not the recorded time, since the clocks of hosts differ.

    Args:
        decisions: oldest first, by the ids of the metadata store or the lines of the audit log.
    """
    return list({person(decision.who): decision for decision in decisions}.values())


def postdated(decisions: Iterable[Decision], now: datetime) -> list[Decision]:
    """Returns the approvals that are dated in the future. They would expire too late and do not count.

    Args:
        decisions: decisions on a model.
        now: with a time zone.
    """
    return [decision for decision in decisions if decision.approved and _when(decision) - now > _CLOCK_TOLERANCE]


def is_logged(decision: Decision, author: str, entry: Entry | None) -> bool:
    """Returns whether an entry of the audit log says that this decision was made on a model of this author."""
    return entry is not None and (
        (entry.action == APPROVE, entry.fingerprint, entry.by, entry.details.get(DECIDED, entry.when))
        == (decision.approved, decision.fingerprint, decision.who, decision.when)
        and entry.details.get(PROOF, "") == decision.proof
        and entry.details.get("author") == author
    )


def _when(decision: Decision) -> datetime:
    return datetime.fromisoformat(decision.when)
