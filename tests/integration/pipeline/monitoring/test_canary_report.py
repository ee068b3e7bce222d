import pytest

from pipeline.monitoring.canary_report import evaluate
from schema.news_items import Classification, NewsItem
from serving.client.canary_comparison import Answers, Pair


def answer(label, version, probability=0.9):
    return Classification(label, probability, {label: probability, "other": 1 - probability}, version)


def pair(stable, canary, true_class=None):
    both = {"stable": stable and answer(stable, 1), "canary": canary and answer(canary, 2)}
    return Pair(NewsItem("text"), true_class, both)


def answers(pairs, failures=()):
    return Answers(
        pairs,
        seconds={"stable": [0.001] * 99 + [0.1], "canary": [0.002] * 100},
        failures={"stable": [], "canary": list(failures)},
    )


def test_agreement_has_a_wilson_interval():
    report = evaluate(answers([pair("World", "World")] * 90 + [pair("World", "Sports")] * 10))
    assert (report.compared, report.agreement, len(report.changed)) == (100, 0.9, 10)
    # Wilson 1927: 0.8256 to 0.9448 for 90 of 100.
    assert report.agreement_interval == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert report.versions == {"stable": [1], "canary": [2]}


def test_changes_are_counted_by_classes_most_frequent_first():
    pairs = [pair("World", "Sports"), pair("Business", "World"), pair("World", "Sports"), pair("World", "World")]
    assert evaluate(answers(pairs)).moves() == [("World", "Sports", 2), ("Business", "World", 1)]


def test_true_classes_give_accuracy_and_mcnemar_test():
    pairs = [pair("World", "Sports", "Sports")] * 15 + [pair("World", "Sports", "World")] * 5
    report = evaluate(answers([*pairs, pair("World", "World")]))
    assert report.labelled == 20
    assert report.accuracy == {"stable": 0.25, "canary": 0.75}
    assert (report.test.only_first, report.test.only_second) == (5, 15)
    assert report.test.p_value == pytest.approx(0.0414, abs=1e-4)


def test_without_true_classes_there_is_no_test():
    report = evaluate(answers([pair("World", "World")]))
    assert (report.accuracy, report.test) == ({}, None)


def test_latencies_are_percentiles_in_milliseconds():
    milliseconds = evaluate(answers([pair("World", "World")])).milliseconds
    assert milliseconds["stable"][50] == pytest.approx(1.0)
    assert milliseconds["stable"][99] > 1.5
    assert milliseconds["canary"] == pytest.approx({50: 2.0, 95: 2.0, 99: 2.0})


def test_items_that_one_label_did_not_answer_are_counted():
    report = evaluate(answers([pair("World", "World"), pair("World", None)], failures=["no"]))
    assert (report.asked, report.compared, report.failures["canary"]) == (2, 1, ["no"])


def test_the_largest_shift_considers_all_classes():
    both = {"stable": answer("World", 1, 0.75), "canary": answer("World", 2, 0.5)}
    assert evaluate(answers([Pair(NewsItem("text"), None, both)])).largest_shift == pytest.approx(0.25)


def test_no_common_answers_is_an_error():
    with pytest.raises(ValueError, match="no item was answered"):
        evaluate(answers([pair("World", None)]))
