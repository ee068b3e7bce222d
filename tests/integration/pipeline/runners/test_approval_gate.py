"""Tests the approval gate between replacements of the earlier stages and the real Pusher, with the local runner."""

import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing

from components.approval import Rules, Status
from components.model_card.component import ModelCard
from components.pusher.component import AgNewsPusher
from pipeline.dag import approval_stages
from pipeline.governance.approvals import Approvals
from pipeline.governance.audit_check import audit_log, recorded_lines
from pipeline.metadata.runs import summarize
from pipeline.runners import local
from pipeline.runners.events import State
from pipeline.settings import Settings
from schema.errors import ApprovalError, ApprovalPending
from serving.audit import problems
from tests.support.recorder import Recorder
from tests.support.stored_files import judge

_EXPORT_FILES = ("variables/variables.index", "variables/variables.data-00000-of-00001", "assets/vocabulary")


@component
def Train(
    model: OutputArtifact[Model],
    model_blessing: OutputArtifact[ModelBlessing],
    infra_blessing: OutputArtifact[InfraBlessing],
    card: OutputArtifact[ModelCard],
    weights: Parameter[str],
    author: Parameter[str],
    blessed: Parameter[int],
    servable: Parameter[int],
) -> None:
    export = os.path.join(model.uri, "Format-Serving")
    # All files that an artifact must have to be taken from the cache.
    for name in ("saved_model.pb", "fingerprint.pb", *_EXPORT_FILES):
        os.makedirs(os.path.dirname(os.path.join(export, name)), exist_ok=True)
        with open(os.path.join(export, name), "w") as file:
            file.write(weights)
    judge(model, card, model_blessing, infra_blessing, author=author)
    card.set_int_custom_property("model_id", model.id)
    for name in ("model_card.json", "model_card.html", "evidence.json", "predictions.parquet"):
        with open(os.path.join(card.uri, name), "w") as file:
            file.write(f'{{"weights": "{weights}"}}')
    model_blessing.set_int_custom_property("blessed", blessed)
    infra_blessing.set_string_custom_property("blessing_status", "INFRA_BLESSED" if servable else "INFRA_NOT_BLESSED")
    infra_blessing.set_int_custom_property("blessed", servable)


class Place:
    """Runs a pipeline with its own metadata store and serving directory."""

    def __init__(self, directory, connection):
        self._directory, self._connection = directory, connection
        self._runs = 0

    def settings(self, **promotion):
        root = {"root": str(self._directory), "name": "test"}
        pusher = {"destination": str(self._directory / "serving")}
        return Settings.model_validate({"pipeline": root, "pusher": pusher, "promotion": promotion})

    def run(self, *, weights="one", author="ann@here", blessed=1, servable=1, to="serving", **promotion):
        """Runs the pipeline; returns the states of the components, and what the run waits for."""
        rules = Rules(**({"approvers": 1, "author_may_approve": False, "expires_hours": 24} | promotion))
        train = Train(weights=weights, author=author, blessed=blessed, servable=servable)
        blessings = {name: train.outputs[name] for name in ("model_blessing", "infra_blessing")}
        gate = approval_stages(train.outputs["model"], blessings, rules)
        pusher = AgNewsPusher(
            model=train.outputs["model"],
            **blessings,
            base_directory=str(self._directory / to / "agnews"),
            audit_log=str(audit_log(self.settings()).path),
            approval=gate[-1].outputs["approval"],
            rules=rules,
        )
        pipeline = Pipeline(
            "test", str(self._directory / "test"), self._connection, [train, *gate, pusher], enable_cache=True
        )
        recorder, waiting = Recorder(), None
        self._runs += 1
        self.run_id = f"local-{self._runs}"
        try:
            local.run(pipeline, self.run_id, self._directory, recorder)
        except ApprovalPending as pending:
            waiting = str(pending)
        return recorder.states, waiting

    def approvals(self, **promotion):
        settings = self.settings(**promotion)
        return Approvals(MetadataStore(self._connection), settings, audit_log(settings))

    def decide(self, who, *, approved=True, model=None, when=None, **promotion):
        approvals, now = self.approvals(**promotion), when or datetime.now(UTC)
        model = model or approvals.requests(now)[-1].name
        return approvals.decide(model, approved=approved, who=who, why="a \\ reason 'é'", now=now)

    def status(self, **promotion):
        return [request.status for request in self.approvals(**promotion).requests(datetime.now(UTC))]

    @property
    def log(self):
        return audit_log(self.settings())

    @property
    def versions(self):
        serving = self._directory / "serving/agnews"
        return sorted(path.name for path in serving.iterdir() if path.name.isdecimal()) if serving.exists() else []

    def summary(self):
        return summarize(self._connection, self.run_id)


@pytest.fixture
def place(tmp_path):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return Place(tmp_path, config)


def test_an_approved_run_continues_from_the_cache_and_pushes_once(tmp_path, connection):
    place = Place(tmp_path, connection)
    states, waiting = place.run()
    assert states["ApprovalGate"] is State.WAITING
    assert "AgNewsPusher" not in states
    [request] = place.approvals().requests(datetime.now(UTC))
    assert f"agnews approvals approve {request.model_id} " in waiting
    assert (request.status, request.author, place.versions) == (Status.PENDING, "ann@here", [])

    place.decide("bob@here")
    states, waiting = place.run()
    assert waiting is None
    assert states["Train"] is states["RequestApproval"] is State.CACHED
    assert states["ApprovalGate"] is states["AgNewsPusher"] is State.DONE
    assert len(place.versions) == 1

    states, _ = place.run()
    assert {state for name, state in states.items() if name != "DecisionResolver"} == {State.CACHED}
    assert len(place.versions) == 1

    approve, push = (line.entry for line in place.log.lines())
    assert (approve.action, approve.by, approve.why) == ("approve", "bob@here", "a \\ reason 'é'")
    assert (push.action, str(push.version), push.why) == (
        "push",
        place.versions[0],
        "approved by bob@here (claimed): a \\ reason 'é'",
    )
    assert approve.fingerprint == push.fingerprint == request.fingerprint


def test_a_run_that_waits_waits_again_until_somebody_decides(place):
    place.run()
    states, waiting = place.run()
    assert waiting
    assert states["RequestApproval"] is State.CACHED
    assert len(place.status()) == 1


def test_a_changed_model_needs_an_approval_of_its_own(place):
    place.run()
    place.decide("bob@here")
    place.run()
    states, waiting = place.run(weights="two")
    assert waiting
    assert "AgNewsPusher" not in states
    assert place.status() == [Status.APPROVED, Status.PENDING]
    assert len(place.versions) == 1


def test_changed_files_of_a_request_can_be_neither_approved_nor_pushed(place, tmp_path):
    place.run()
    [graph] = tmp_path.glob("test/Train/model/*/Format-Serving/saved_model.pb")
    graph.write_text("other weights")
    with pytest.raises(ApprovalError, match="changed after the request"):
        place.decide("bob@here")

    graph.write_text("one")
    place.decide("bob@here")
    graph.write_text("other weights")
    states, _ = place.run()
    assert states["Train"] is State.DONE
    [version] = (tmp_path / "serving/agnews").glob("[0-9]*")
    assert (version / "saved_model.pb").read_text() == "one"


def test_the_author_cannot_approve_unless_that_is_allowed(place):
    place.run()
    with pytest.raises(ApprovalError, match="ann@here trained it"):
        place.decide("ann@laptop")
    assert place.log.lines() == []
    place.decide("ann@laptop", author_may_approve=True)
    assert place.run()[1]
    assert place.run(author_may_approve=True)[1] is None


def test_of_a_model_that_names_no_author_nobody_can_say_that_they_are_not(place):
    place.run(author="")
    with pytest.raises(ApprovalError, match="its author is unknown"):
        place.decide("bob@here")


def test_two_approvers_are_two_people(place):
    place.run(approvers=2)
    place.decide("bob@here")
    place.decide("bob@there")
    assert "by 2 people" in place.run(approvers=2)[1]
    place.decide("cem@here")
    assert place.run(approvers=2)[1] is None


def test_an_expired_approval_is_asked_for_again(place):
    place.run()
    long_ago = datetime.now(UTC) - timedelta(hours=100)
    place.decide("bob@here", when=long_ago)
    assert place.status() == [Status.EXPIRED]
    assert "has expired" in place.run()[1]
    place.decide("bob@here")
    assert place.run()[1] is None


def test_an_approval_dated_in_the_future_is_reported_and_pushes_nothing(place):
    place.run()
    place.decide("bob@here", when=datetime.now(UTC) + timedelta(days=365))
    assert place.status() == [Status.PENDING]
    assert re.search(
        r"waiting for approval; the approval by bob@here is dated 20\S+, in the future, and", place.run()[1]
    )
    place.decide("bob@here")
    assert place.run()[1] is None


def test_the_last_decision_counts_whatever_the_clock_said(place):
    place.run()
    place.decide("bob@laptop", when=datetime.now(UTC) + timedelta(minutes=4))
    place.decide("bob@server", approved=False)
    assert place.status() == [Status.REJECTED]
    assert (place.run()[1], place.versions) == (None, [])


def test_a_rejected_model_ends_the_run_without_a_push_and_says_by_whom(place):
    place.run()
    place.decide("bob@here", approved=False)
    place.decide("bob@here")
    place.decide("cem@here", approved=False)
    states, waiting = place.run()
    assert (waiting, states["AgNewsPusher"], place.versions) == (None, State.DONE, [])
    assert place.summary().rejected == "cem@here (claimed): a \\ reason 'é'"
    assert place.status() == [Status.REJECTED]


class LaterClock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(hours=100)


def test_a_used_approval_expires_for_another_push_only(place, monkeypatch):
    place.run()
    place.decide("bob@here")
    place.run()
    monkeypatch.setattr("components.approval.component.datetime", LaterClock)
    states, waiting = place.run()
    assert (waiting, states["ApprovalGate"], states["AgNewsPusher"]) == (None, State.CACHED, State.CACHED)
    later = datetime.now(UTC) + timedelta(hours=100)
    assert [request.status for request in place.approvals().requests(later)] == [Status.APPROVED]

    states, waiting = place.run(to="another")
    assert (states["ApprovalGate"], states["AgNewsPusher"]) == (State.CACHED, State.WAITING)
    assert "has expired" in waiting
    place.decide("bob@here", when=later)
    assert place.run(to="another")[1] is None


@pytest.mark.parametrize("refused_by", ["blessed", "servable"])
def test_a_model_that_a_check_refused_asks_nobody(place, refused_by):
    states, waiting = place.run(**{refused_by: 0})
    assert (waiting, states["AgNewsPusher"], place.versions, place.status()) == (None, State.DONE, [], [])


def test_a_decision_without_a_request_is_refused(place):
    place.run()
    with pytest.raises(ApprovalError, match=r"no request for model 99; models with a request: \d"):
        place.decide("bob@here", model="99")


def test_the_metadata_store_notices_a_log_whose_end_was_cut_off(place):
    place.run()
    place.decide("bob@here")
    place.run()
    known = recorded_lines(MetadataStore(place._connection), place.log)
    assert len(known) == 2
    assert problems(place.log, known) == []
    place.log.path.write_bytes(place.log.path.read_bytes().splitlines(keepends=True)[0])
    [problem] = problems(place.log, known)
    assert "PushedModel" in problem


def _damage(place, tmp_path, content):
    [graph] = tmp_path.glob("test/Train/model/*/Format-Serving/saved_model.pb")
    graph.write_text(content)
    return graph.parent


def test_a_changed_model_is_not_pushed_under_an_old_approval(place, tmp_path):
    """Files below the run's root may be rewritten, except the metadata store: no file there holds the approval."""
    place.run()
    place.decide("bob@here")
    place.run()
    _damage(place, tmp_path, "evil weights")
    assert not [path for path in tmp_path.glob("test/ApprovalGate/**/*") if path.is_file()]
    place.run(to="another")
    another = tmp_path / "another/agnews"
    pushed = [path.read_text() for path in another.glob("*/saved_model.pb")] if another.exists() else []
    assert "evil weights" not in pushed


def test_a_damaged_model_is_not_taken_from_the_cache(place, tmp_path):
    place.run(blessed=0)
    _damage(place, tmp_path, "")
    states, _ = place.run(blessed=0)
    assert states["Train"] is State.DONE
