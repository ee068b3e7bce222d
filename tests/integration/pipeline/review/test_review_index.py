"""Tests of the index of runs and models."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.review_store import APPROVER, AUTHOR
from components.approval import Rules, Status
from pipeline.metadata.snapshot import Link
from pipeline.review.review_index import ReviewIndex, RunStatus
from pipeline.runners.run_id import COMPARISON, new_run_id

NOW = datetime(2026, 1, 3, tzinfo=UTC)


@pytest.fixture
def index(snapshot):
    return ReviewIndex(snapshot, Rules(1, False, 72.0), NOW)


@pytest.fixture
def runs(index):
    return list(index.runs.values())


def test_runs_have_the_expected_status(runs):
    assert [row.status for row in runs] == [
        *[RunStatus.COMPLETE] * 7,
        RunStatus.FAILED,
        RunStatus.WAITING,
        *[RunStatus.COMPLETE] * 3,
    ]
    assert (runs[7].at, runs[8].at) == ("ValidationGate", "ApprovalGate")


def test_a_waiting_run_whose_model_was_pushed_since_says_so(snapshot, runs):
    pusher = snapshot.executions_of(runs[11].run.id)[-1].id
    waiting = runs[8].model.id
    links = {**snapshot.links, pusher: (*snapshot.links[pusher], Link(pusher, waiting, "model", "read"))}
    row = ReviewIndex(dataclasses.replace(snapshot, links=links), Rules(1, False, 72.0), NOW).runs[runs[8].run.id]
    assert (row.status, row.at) == (RunStatus.PUSHED_LATER, f"version {runs[11].version}")


def test_the_data_run_of_a_comparison_is_not_a_stopped_run(snapshot, runs):
    first = runs[0].run

    def status_of(name):
        run = dataclasses.replace(first, name=name)
        kept = {one.id for one in snapshot.executions_of(run.id)[:6]}
        executions = {one.id: one for one in snapshot.executions.values() if one.run != run.id or one.id in kept}
        links = {number: found for number, found in snapshot.links.items() if number in executions}
        runs = {**snapshot.runs, run.id: run}
        changed = dataclasses.replace(snapshot, runs=runs, executions=executions, links=links)
        return ReviewIndex(changed, Rules(1, False, 72.0), NOW).runs[run.id].status

    assert status_of(new_run_id(COMPARISON)) is RunStatus.COMPARISON
    assert status_of(new_run_id()) is RunStatus.STOPPED


def test_a_cached_model_belongs_to_the_run_but_was_not_trained_by_it(runs):
    assert runs[5].model is runs[4].model
    assert (runs[4].trained, runs[5].trained) == (True, False)
    assert runs[5].version == runs[4].version == 1_700_000_004


def test_only_blessed_and_approved_models_were_pushed(runs):
    assert [row.version is not None for row in runs] == [True] * 6 + [False] * 4 + [True] * 2
    assert runs[6].model.blessed is False
    assert runs[6].model.approval is None
    assert runs[7].model is None


def test_an_approval_names_author_approver_and_reason(runs):
    approval = runs[0].model.approval
    assert (approval.status, approval.author, approval.approvers) == (Status.APPROVED, AUTHOR, f"{APPROVER} (claimed)")
    assert approval.decisions[0].why == "the evidence, as it is"
    assert [runs[number].model.approval.status for number in (8, 9)] == [Status.PENDING, Status.REJECTED]


def test_a_used_approval_does_not_expire(snapshot):
    later = ReviewIndex(snapshot, Rules(1, False, 72.0), NOW + timedelta(days=30))
    assert next(iter(later.models.values())).approval.status is Status.APPROVED


def test_models_and_ingested_rows_refer_to_each_other(index, runs):
    examples = runs[0].model.examples
    assert examples.properties["span"] == 0
    assert examples.properties["source"] == "simulated rows"
    assert index.trained_on(examples.id) == [runs[number].model for number in (0, 1, 2, 3, 4, 6, 8, 9)]
    assert index.spans.keys() == {0, 1}


def test_windows_and_warm_starts_add_spans_to_a_model(snapshot, runs):
    older, newer = (runs[number].model for number in (0, 10))
    trainer = snapshot.maker(newer.id)
    [transform] = [
        snapshot.maker(link.artifact).id for link in snapshot.inputs(trainer.id) if link.role == "transform_graph"
    ]

    def with_input(links, execution, artifact, role):
        return {**links, execution: (*links[execution], Link(execution, artifact, role, "read"))}

    window = with_input(snapshot.links, transform, older.examples.id, "examples")
    changed = ReviewIndex(dataclasses.replace(snapshot, links=window), Rules(1, False, 72.0), NOW)
    model = changed.models[newer.id]
    assert [one.properties["span"] for one in model.ingested] == [0, 1]
    assert model.rows("rows_read") == 1_250 + 1_251
    assert changed.trained_on(older.examples.id)[-2].id == newer.id

    warm = with_input(snapshot.links, trainer.id, older.id, "base_model")
    changed = ReviewIndex(dataclasses.replace(snapshot, links=warm), Rules(1, False, 72.0), NOW)
    model = changed.models[newer.id]
    assert [one.properties["span"] for one in model.ingested] == [1]
    assert [one.properties["span"] for one in model.inherited] == [0]
    assert newer.id in [one.id for one in changed.trained_on(older.examples.id)]


def test_a_baseline_is_not_mistaken_for_the_evaluated_model(runs):
    first, second = runs[0].model, runs[1].model
    assert first.card.properties["model_id"] == first.id
    assert second.card.properties["model_id"] == second.id
    assert first.versions == (1_700_000_000,)


def test_the_last_attempt_of_a_component_determines_the_status(snapshot):
    executions = dict(snapshot.executions)
    [gate] = [one for one in snapshot.executions_of(_run(snapshot, 1)) if one.type == "ApprovalGate"]
    number = max(executions) + 1
    executions[gate.id] = dataclasses.replace(gate, state="FAILED")
    executions[number] = dataclasses.replace(gate, id=number)
    changed = dataclasses.replace(snapshot, executions=executions)
    assert ReviewIndex(changed, Rules(1, False, 72.0), NOW).runs[_run(snapshot, 1)].status is RunStatus.COMPLETE


@pytest.mark.parametrize(
    ("state", "status"), [("RUNNING", RunStatus.RUNNING), ("CANCELED", RunStatus.STOPPED), (None, RunStatus.STOPPED)]
)
def test_an_unfinished_run_is_not_complete(snapshot, state, status):
    executions, links = dict(snapshot.executions), dict(snapshot.links)
    last = snapshot.executions_of(_run(snapshot, 1))[-1]
    if state:
        executions[last.id] = dataclasses.replace(last, state=state)
    else:
        del executions[last.id], links[last.id]
    changed = dataclasses.replace(snapshot, executions=executions, links=links)
    assert ReviewIndex(changed, Rules(1, False, 72.0), NOW).runs[_run(snapshot, 1)].status is status


def _run(snapshot, number):
    return list(snapshot.runs)[number]
