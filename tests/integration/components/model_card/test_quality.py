from types import SimpleNamespace

import numpy as np
from tfx.types import standard_artifacts

from components.evaluator.config import eval_config
from components.evaluator.report import EvaluationReport, ThresholdFailure
from components.model_card import quality
from components.model_card.rows import TestRows, Texts
from schema.data_set import AG_NEWS


def test_thresholds_against_a_baseline_are_judged_by_the_change(monkeypatch):
    bounds = {"min_accuracy": 0.8, "min_label_recall": 0.5, "max_accuracy_drop": 0.01, "max_label_recall_drop": 0.2}
    monkeypatch.setattr(
        quality.tfma, "load_eval_result", lambda uri: SimpleNamespace(config=eval_config(AG_NEWS, **bounds))
    )
    report = EvaluationReport(
        metrics={"all": {"accuracy": 0.85}, "label=World": {"accuracy": 0.6}},
        baseline={"all": {"accuracy": 0.9}, "label=World": {"accuracy": 0.7}},
        confusion=[],
        failures=[ThresholdFailure("all", "accuracy", -0.05, -0.01, change=True)],
    )
    blessings = standard_artifacts.ModelBlessing(), standard_artifacts.InfraBlessing()
    found = quality.describe_verdicts("", report, *blessings)
    assert [
        (threshold.slice, threshold.against_baseline, round(threshold.value, 6), threshold.bound, threshold.passed)
        for threshold in found.thresholds
    ] == [
        ("all", False, 0.85, 0.8, True),
        ("all", True, -0.05, -0.01, False),
        ("label=World", False, 0.6, 0.5, True),
        ("label=World", True, -0.1, -0.2, True),
    ]


def test_changes_that_the_evaluator_adds_are_not_other_metrics():
    by_class = {f"{metric}/{name}": 1.0 for metric in ("f1", "auc") for name in AG_NEWS.class_names}
    overall = {"accuracy": 1.0, "example_count": 8.0, "loss": 0.3, "loss_diff": -0.1, "example_count_diff": 0.0}
    confusion = [[2 * (row == column) for column in range(4)] for row in range(4)]
    report = EvaluationReport(metrics={"all": overall | by_class}, baseline={}, confusion=confusion, failures=[])
    assert quality.describe_quality(report, np.ones(8, bool)).overall == {"loss": 0.3}


def test_a_wrong_answer_has_the_id_of_the_files():
    texts, ids = Texts(["a", "b", "c"], [""] * 3), ["hash1", "hash2", "hash3"]
    rows = TestRows(ids, texts, np.array([0, 1, 1]), ["short"] * 3, columns={"source_id": ["7", "8", ""]})
    answers = [(wrong.id, wrong.answer) for wrong in quality.worst_errors(rows, np.eye(4)[[0, 2, 2]], 9)]
    assert answers == [("8", "Business"), ("hash3", "Business")]
