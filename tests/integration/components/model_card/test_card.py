"""Compares each figure in the card of a small run with the run's artifacts."""

import copy
import dataclasses
import shutil

import numpy as np
import pytest

from components.model_card.evidence import NotAvailable
from components.model_card.standard import to_plain
from components.model_card.training import describe_training
from components.trainer.export import write_facts
from schema.features import CLASS_NAMES


def test_data_is_what_the_artifacts_say(card, run):
    data = card.data
    assert (data.rows_read, data.rows_quarantined, data.quarantined) == (83, 3, {"bad_utf8": 3})
    assert (data.duplicates, data.train_test_overlap, data.spans, data.synthetic) == (2, 1, (4,), True)
    assert data.splits["test"].by_class == dict.fromkeys(CLASS_NAMES, 20)
    assert sum(data.splits["train"].by_length.values()) == len(run.rows)
    assert data.preparation == {"max_tokens": 20, "min_count": 1}


def test_the_vocabularys_unknown_words_are_counted_in_each_slice(card, transform_output):
    from schema.model_contract import VOCABULARY

    vocabulary = card.vocabulary
    assert vocabulary.words == transform_output.vocabulary_size_by_name(VOCABULARY)
    assert (vocabulary.by_slice["train"].tokens, vocabulary.by_slice["train"].unknown) == (10, 2)
    assert vocabulary.coverage == pytest.approx(0.8)
    classes = [vocabulary.by_slice[f"test, label={name}"] for name in CLASS_NAMES]
    assert sum(part.unknown for part in classes) == vocabulary.by_slice["test"].unknown > 0
    assert sum(part.tokens for part in classes) == vocabulary.by_slice["test"].tokens


def test_metrics_have_intervals_and_repeat_the_evaluators(card):
    overall = card.quality.slices["all"]
    assert overall.rows == 80
    assert card.quality.repeated_accuracy == pytest.approx(overall.accuracy.value)
    assert overall.accuracy.low < overall.accuracy.value < overall.accuracy.high
    assert np.trace(card.quality.confusion) == round(overall.accuracy.value * 80)
    assert list(card.quality.slices)[:2] == ["all", "label=World"]
    assert {"auc", "loss"} <= set(card.quality.overall)


def test_every_threshold_is_there_with_its_verdict(card):
    thresholds = {threshold.slice: threshold for threshold in card.verdicts.thresholds}
    assert set(thresholds) == {"all", *(f"label={name}" for name in CLASS_NAMES)}
    assert thresholds["all"].passed
    assert not all(threshold.passed for threshold in thresholds.values())
    assert thresholds["label=World"].bound == pytest.approx(0.99)


def test_a_model_that_nobody_blessed_has_a_card_that_says_so(card):
    verdicts = card.verdicts
    assert (verdicts.blessed, verdicts.infra_blessed, verdicts.infra_reason) == (False, False, "too slow")


def test_what_was_unset_in_the_recipe_has_the_architectures_value(card):
    parameters = card.training.hyperparameters
    assert parameters["word_dropout"] == 0.1
    assert parameters["units"] == 4
    assert (parameters["batch_tokens"], parameters["seed"]) == (500, 3)


def test_a_warm_start_is_described_with_its_base_model(run, facts, tmp_path):
    export = tmp_path / "export"
    shutil.copytree(run.root / "model/Format-Serving", export)
    write_facts(facts | {"warm_start": {"base_model": "/earlier", "words_taken": "9 of 10"}}, str(export))
    results = describe_training(str(export)).hyperparameters
    assert (results["base_model"], results["words_taken"]) == ("/earlier", "9 of 10")


def test_a_windows_spans_train_and_its_newest_test_rows_judge(make, run):
    def of_span(role, span):
        made = copy.deepcopy(run.inputs[role][0])
        made.set_int_custom_property("span", span)
        made.span = span
        return made

    window = {role: [of_span(role, span) for span in (4, 3)] for role in ("examples", "statistics")}
    card, _ = make(**window, transformed_examples=run.inputs["transformed_examples"] * 2)
    rows = len(run.rows)
    assert card.data.spans == (3, 4)
    assert (card.data.rows_read, card.data.quarantined) == (166, {"bad_utf8": 6})
    assert {name: split.rows for name, split in card.data.splits.items()} == {
        "train": 2 * rows,
        "val": 2 * rows,
        "test": rows,
    }
    assert card.data.splits["train"].by_class == dict.fromkeys(CLASS_NAMES, 40)
    assert card.vocabulary.by_slice["train"].tokens == 20


def test_worst_errors_are_wrong_and_the_surest_come_first(card, run):
    by_id = {row["id"]: row for row in run.rows}
    assert len(card.errors) == 5
    for error in card.errors:
        assert error.answer != error.true_class == CLASS_NAMES[by_id[error.id]["label"]]
        assert error.description == by_id[error.id]["description"]
    probabilities = [error.probability for error in card.errors]
    assert probabilities == sorted(probabilities, reverse=True)


def test_lineage_names_each_artifact_that_was_read(card, run):
    assert {(source.role, source.id) for source in card.lineage.sources} == {
        (role.replace("_", " "), artifacts[0].id) for role, artifacts in run.inputs.items()
    }
    assert card.lineage.run == "run-1"


def test_serving_cost_and_size_are_measured(card):
    assert 0 < card.serving.milliseconds["p50"] <= card.serving.milliseconds["p99"]
    assert card.serving.rows_per_second > 0
    assert card.export.bytes > 1000


def test_the_same_artifacts_give_the_same_card_but_for_what_is_time(card, make):
    def timeless(made):
        return to_plain(dataclasses.replace(made, serving=None, environment=None))

    assert timeless(make()[0]) == timeless(card)


def test_without_a_baseline_the_card_says_why_it_has_no_comparison(card):
    assert card.baseline == NotAvailable("no other blessed model is there")


def test_an_export_without_facts_gives_a_card_without_training(make, run, export, tmp_path):
    import shutil

    from tfx.types import standard_artifacts

    shutil.copytree(export, tmp_path / "model/Format-Serving")
    model = standard_artifacts.Model()
    model.uri, model.id = str(tmp_path / "model"), 9
    made, _ = make(model=[model])
    assert isinstance(made.training, NotAvailable)
    assert "training.json" in made.training.not_available
    assert isinstance(made.calibration.error_before, NotAvailable)

    from components.model_card.render import write_card

    write_card(made, str(tmp_path))
    assert "Training time is not available" in (tmp_path / "model_card.html").read_text()


def test_a_baseline_is_compared_on_the_same_rows(make, run):
    made, _ = make(baseline_model=run.inputs["model"])
    assert made.baseline.test.p_value == 1.0
    assert made.baseline.other_answers == 0
    assert made.baseline.change == 0.0
