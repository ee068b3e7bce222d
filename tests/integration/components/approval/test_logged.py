"""Runs the gate of the audit log as an executor does."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.approval import Approval, Rules
from components.approval.logged import LoggedApprovalGate
from components.approval.rules import logged_requests
from components.model_card.component import ModelCard
from schema.errors import ApprovalPending, AuditError
from serving.audit import AuditLog, Entry

RULES = Rules(approvers=1, author_may_approve=False, expires_hours=24)


class Gate:
    """A gate before the push of a model, which a test can change between two runs."""

    def __init__(self, directory):
        self._directory = directory
        self.log = AuditLog(directory / "serving/audit.jsonl")
        self.weights = "one"

    def run(self, *, author="ann@here", blessed=1, rules=RULES):
        """Runs the gate and returns its result."""
        made = {
            "model": self._artifact(standard_artifacts.Model, {"Format-Serving/saved_model.pb": self.weights}),
            "model_blessing": self._artifact(standard_artifacts.ModelBlessing, {}, blessed=blessed),
            "infra_blessing": self._artifact(standard_artifacts.InfraBlessing, {}, blessed=1),
            "model_card": self._artifact(ModelCard, {"model_card.html": f"of {self.weights}"}),
        }
        made["infra_blessing"].set_string_custom_property("blessing_status", "INFRA_BLESSED")
        approval = self._artifact(Approval, {})
        LoggedApprovalGate.EXECUTOR_SPEC.executor_class().Do(
            {name: [artifact] for name, artifact in made.items()},
            {"approval": [approval]},
            {"rules": rules.to_json(), "log": str(self.log.path), "model_name": "agnews", "trained_by": author},
        )
        return approval

    def decide(self, who, action="approve"):
        self.log.append(Entry(action, model="agnews", fingerprint=self.asked, by=who, why="seen"))

    @property
    def asked(self):
        *_, latest = logged_requests(self.log.lines())
        return latest

    def _artifact(self, kind, files, **properties):
        artifact = kind()
        directory = self._directory / kind.TYPE_NAME
        for name, content in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(content)
        directory.mkdir(exist_ok=True)
        artifact.uri = str(directory)
        for name, value in properties.items():
            artifact.set_int_custom_property(name, value)
        return artifact


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


def test_a_request_is_logged_once_with_author_and_card_and_waits(gate):
    for _ in range(2):
        with pytest.raises(ApprovalPending, match=rf"agnews approvals approve [0-9a-f]{{12}} .* on {gate.log.path}"):
            gate.run()
    [line] = gate.log.lines()
    assert (line.entry.action, line.entry.model, line.entry.by) == ("request", "agnews", "ann@here")
    card = gate.log.path.parent / "cards" / line.entry.fingerprint / "model_card.html"
    assert card.read_text() == "of one"
    assert line.entry.details["card"] == str(card.parent)


def test_a_copied_card_is_readable_by_all_and_writable_by_nobody(umask, gate, open_directory, read_as_another_user):
    gate.log = AuditLog(open_directory / "serving/audit.jsonl")
    with pytest.raises(ApprovalPending):
        gate.run()
    read_as_another_user(gate.log.path.parent / "cards")


def test_an_approval_by_another_person_lets_the_run_continue(gate):
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("ann@laptop")
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("bob@here")
    approval = gate.run()
    assert approval.get_int_custom_property("approved") == 1
    report = json.loads(Path(approval.uri, "approval.json").read_text())
    assert [decision["who"] for decision in report["decisions"]] == ["ann@laptop", "bob@here"]


def test_the_author_of_the_first_request_stays_the_author(gate):
    with pytest.raises(ApprovalPending):
        gate.run(author="ann@here")
    gate.decide("ann@laptop")
    with pytest.raises(ApprovalPending):
        gate.run(author="bob@here")


def test_without_a_named_author_nobody_may_approve(gate):
    with pytest.raises(ApprovalPending):
        gate.run(author="")
    gate.decide("bob@here")
    with pytest.raises(ApprovalPending):
        gate.run(author="")


def test_two_approvers_are_two_people(gate):
    two = Rules(approvers=2, author_may_approve=False, expires_hours=24)
    with pytest.raises(ApprovalPending, match="by 2 people"):
        gate.run(rules=two)
    gate.decide("bob@here")
    gate.decide("bob@there")
    with pytest.raises(ApprovalPending):
        gate.run(rules=two)
    gate.decide("cem@here")
    assert gate.run(rules=two).get_int_custom_property("approved") == 1


def test_a_changed_model_makes_a_new_request(gate):
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("bob@here")
    gate.weights = "two"
    with pytest.raises(ApprovalPending):
        gate.run()
    assert len(logged_requests(gate.log.lines())) == 2


class LaterClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(hours=100)


def test_an_expired_approval_is_requested_again(gate, monkeypatch):
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("bob@here")
    monkeypatch.setattr("components.approval.component.datetime", LaterClock)
    with pytest.raises(ApprovalPending, match="has expired"):
        gate.run()


def test_a_rejection_ends_the_run_without_a_push_and_gives_its_reason(gate):
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("bob@here")
    gate.decide("cem@here", "reject")
    approval = gate.run()
    assert approval.get_int_custom_property("approved") == 0
    assert approval.get_string_custom_property("reason") == "cem@here: seen"


def test_a_model_that_was_not_blessed_makes_no_request(gate):
    assert gate.run(blessed=0).get_int_custom_property("approved") == 0
    assert gate.log.lines() == []


def test_a_line_that_another_process_is_writing_is_ignored(gate):
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("bob@here")
    with open(gate.log.path, "a") as file:
        file.write('{"action": "pu')
    assert gate.run().get_int_custom_property("approved") == 1


def test_decisions_of_a_changed_log_do_not_count(gate):
    with pytest.raises(ApprovalPending):
        gate.run()
    gate.decide("ann@laptop")
    gate.decide("cem@here", "reject")
    gate.log.path.write_text(gate.log.path.read_text().replace("ann@laptop", "bob@laptop"))
    with pytest.raises(AuditError, match="line 3 does not follow"):
        gate.run()
