"""Tests spans, windows and drift in the summary; tests/e2e checks the rest."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from components.evaluator.report import EvaluationReport, ThresholdFailure
from components.validation_gate.component import Drift
from pipeline.alerts import Kind
from pipeline.cli.summary import print_summary
from pipeline.metadata.runs import RunSummary
from pipeline.settings import Settings

DATED = {"path": "here", "train_pattern": "{YYYY}-{MM}-{DD}/train.csv", "test_pattern": "{YYYY}-{MM}-{DD}/test.csv"}
FIRST_OF_MARCH = 20513


@pytest.fixture
def summary_of():
    """Returns a function that builds a summary from its fields."""

    def summary_of(span, source="here", **fields):
        rows = dict.fromkeys(("rows_read", "rows_train", "rows_val", "rows_test"), 8)
        counts = dict.fromkeys(("rows_quarantined", "duplicates", "train_test_overlap"), 0)
        nothing = dict.fromkeys(
            (
                "evaluation",
                "baseline_model",
                "blessed",
                "infra_blessed",
                "infra_reason",
                "rejected",
                "pushed_to",
                "model_id",
            )
        )
        defaults: dict = {"window": [], "trained_in": None, "ended_in": None, "compared_with": [], "drift": []}
        ingestion = rows | counts | {"source": source, "span": span} if span is not None else None
        return RunSummary(ingestion=ingestion, **nothing | defaults | fields)

    return summary_of


@pytest.fixture
def shown(summary_of):
    """Returns a function that prints a summary with the given fields and returns the output."""

    def shown(span, data=DATED, log="log", evaluator=None, **fields):
        output = io.StringIO()
        settings = Settings.model_validate({"data": data, "evaluator": evaluator or {}})
        print_summary(Console(file=output, width=200), summary_of(span, **fields), settings, "run-2", Path(log))
        return output.getvalue()

    return shown


def test_a_window_of_several_spans_is_named_by_its_days(shown):
    output = shown(FIRST_OF_MARCH + 1, window=[FIRST_OF_MARCH, FIRST_OF_MARCH + 1], trained_in="run-2")
    assert "window: spans 2026-03-01 and 2026-03-02 train, the test rows are those of 2026-03-02" in output
    assert "read from here, span 2026-03-02: " in output
    assert "nothing new" not in output


def test_a_window_of_the_runs_own_span_needs_no_word(shown):
    assert "window" not in shown(FIRST_OF_MARCH, window=[FIRST_OF_MARCH], trained_in="run-2")


def test_a_span_that_is_older_than_the_window_is_said_to_train_nothing(shown):
    output = shown(FIRST_OF_MARCH, window=[FIRST_OF_MARCH + 2], trained_in="run-1")
    assert "older than the window" in output
    assert "nothing new: span 2026-03-03 trained in run run-1" in output


def test_without_spans_a_model_from_the_cache_is_nothing_new_either(shown):
    assert "nothing new: this model trained in run run-1" in shown(0, data={}, window=[0], trained_in="run-1")


def test_a_skipped_run_says_why_and_that_nothing_changed(shown):
    output = shown(None, skipped="AgNewsExampleGen: span 7 is empty")
    assert "skipped: AgNewsExampleGen: span 7 is empty; the last pushed model stays in place" in output
    assert "not pushed" not in output


def test_the_distances_are_next_to_the_limits(shown):
    drift = [
        Drift("train", "label", "L-infinity distance", 0.01234, 0.05),
        Drift("test", "label", "L-infinity distance", 0.02, 0.05),
        Drift("train", "text_length", "Jensen-Shannon divergence", 0.001, 0.1),
    ]
    output = shown(FIRST_OF_MARCH + 1, window=[FIRST_OF_MARCH + 1], drift=drift, compared_with=[FIRST_OF_MARCH])
    assert "drift against span 2026-03-01" in output
    rows = [line.split() for line in output.splitlines() if line.startswith(("feature", "label", "text_length"))]
    assert rows == [
        ["feature", "measure", "train", "test", "allowed"],
        ["label", "L-infinity", "distance", "0.0123", "0.0200", "≤", "0.05"],
        ["text_length", "Jensen-Shannon", "divergence", "0.0010", "≤", "0.1"],
    ]


def test_without_spans_the_comparison_is_with_the_run_before(shown):
    drift = [Drift("train", "label", "L-infinity distance", 0.0, 0.05)]
    assert "drift against the run before" in shown(0, data={}, drift=drift, compared_with=[0])


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ({"blessed": False}, "not blessed: Evaluator gave no reason, see the log"),
        ({"infra_blessed": False}, "not blessed by InfraValidator: it gave no reason, see the log"),
        ({"infra_blessed": False, "infra_reason": "too large"}, "not blessed by InfraValidator: too large"),
        ({"rejected": "ann: too soon"}, "rejected by ann: too soon"),
        ({"blessed": True, "infra_blessed": True}, "no component gave a reason, see the log"),
        ({}, "no component gave a reason, see the log"),
    ],
)
def test_a_model_is_never_left_unpushed_without_a_reason(shown, verdicts, reason):
    assert f"not pushed\n  {reason}\n" in shown(0, data={}, **verdicts)


def test_slices_of_the_users_own_are_shown_with_their_thresholds(shown):
    values = {"accuracy": 0.9, "example_count": 8, "auc": 0.9}
    names = ("kanal=Telefon", "kanal=[red]E-Mail", "length_bucket=long", "all")
    evaluation = EvaluationReport(dict.fromkeys(names, values), {}, [[0] * 4] * 4, [])
    output = shown(0, data={}, evaluator={"min_slice_accuracy": {"kanal=Telefon": 0.4}}, evaluation=evaluation)
    assert re.search(r"all rows .*≥ 0\.88.*\nlong texts .*\nkanal=Telefon .*≥ 0\.4 *\nkanal=\[red\]E-Mail .*\n", output)


def test_what_the_evaluator_could_not_measure_is_a_reason(shown):
    missing = ThresholdFailure("label=Sports", "accuracy", None, 0.6, change=False, flaw="no test row")
    evaluation = EvaluationReport(
        {"all": {"accuracy": 0.9, "example_count": 8, "auc": 0.9}}, {}, [[0] * 4] * 4, [missing]
    )
    output = shown(0, data={}, blessed=False, evaluation=evaluation)
    assert "  not blessed: recall of Sports has no value: no test row; required is 0.6000\n" in output


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"blessed": False, "ended_in": "run-2"}, Kind.NOT_BLESSED, "not blessed: Evaluator gave no reason"),
        (
            {"blessed": True, "infra_blessed": False, "infra_reason": "no answer", "ended_in": "run-2"},
            Kind.NOT_BLESSED,
            "not blessed by InfraValidator: no answer",
        ),
        ({"blessed": True, "pushed_to": "/serving/agnews/7", "ended_in": "run-2"}, Kind.PUSHED, "version 7: /serving"),
        ({"blessed": True, "waiting": "for ann", "ended_in": None}, Kind.WAITING, "for ann"),
    ],
)
def test_the_outcome_of_a_run_is_an_event(summary_of, fields, kind, message):
    event = summary_of(None, model_id=3, **fields).event("run-2", "the log")
    assert (event.kind, event.run, event.log, event.model_id) == (kind, "run-2", "the log", 3)
    assert event.message.startswith(message)


@pytest.mark.parametrize(
    "fields",
    [
        {"blessed": False, "ended_in": "run-1"},
        {"blessed": True, "pushed_to": "/serving/agnews/7", "ended_in": "run-1"},
        {"skipped": "no rows"},
    ],
)
def test_an_outcome_of_an_earlier_run_is_no_event(summary_of, fields):
    assert summary_of(None, **fields).event("run-2", "the log") is None


@pytest.mark.parametrize("exists", [True, False])
def test_places_are_printed_as_they_are_whatever_rich_reads_in_them(shown, tmp_path, exists):
    place = tmp_path / "dated [x] [/red]" / "agnews" / "17"
    if exists:
        place.mkdir(parents=True)
    output = shown(0, data={}, pushed_to=str(place), blessed=True)
    assert str(place) in output
    if exists:
        assert f"--model_base_path='{place.parent}'" in output


def test_the_source_and_the_log_are_printed_as_they_are(shown):
    output = shown(0, data={}, source="/data/ag [1] [/red]", log="/runs/[bold]/log")
    assert "read from /data/ag [1] [/red], span 0" in output
    assert "log: /runs/[bold]/log" in output


def test_a_model_that_is_not_calibrated_is_reported(shown):
    line = "probabilities are not calibrated, the temperature is 1: val has 23 rows"
    assert line in shown(FIRST_OF_MARCH, not_calibrated="val has 23 rows").splitlines()
    assert "calibrated" not in shown(FIRST_OF_MARCH)
