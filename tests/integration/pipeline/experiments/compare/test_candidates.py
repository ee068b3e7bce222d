import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from components.trainer.settings import Recipe
from pipeline.experiments.compare import candidates
from pipeline.experiments.compare.candidates import Results, result_key
from schema.features import TEST, TRAIN, VAL


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


def test_an_outcome_is_stored_unchanged(results, outcome):
    kept = outcome(parameters=7, rows_per_second=1.5, seconds_per_epoch=2.5, size=9, ece=(0.2, 0.1))
    results.put("key", kept)
    assert results.get("key") == kept


def test_an_outcome_without_measurements_is_stored_unchanged(results, outcome):
    results.put("key", outcome())
    assert results.get("key") == outcome()


def test_an_unknown_key_has_no_outcome(results, outcome):
    assert results.get("key") is None
    results.put("other", outcome())
    assert results.get("key") is None


def test_a_partly_written_outcome_is_not_read(results, outcome, tmp_path, monkeypatch):
    def killed(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        results.put("key", outcome())
    assert results.get("key") is None


def test_the_key_is_stable(data):
    assert result_key("lstm", {"units": 8}, data, 1) == result_key("lstm", {"units": 8}, data, 1)


@pytest.mark.parametrize("changed", [("rnn", {"units": 8}, 1), ("lstm", {"units": 9}, 1), ("lstm", {"units": 8}, 2)])
def test_the_key_changes_with_name_definition_and_seed(data, changed):
    name, definition, seed = changed
    assert result_key(name, definition, data, seed) != result_key("lstm", {"units": 8}, data, 1)


@pytest.mark.parametrize("split", [TRAIN, VAL, TEST])
def test_the_key_changes_with_the_rows_of_each_split(data, split):
    fewer = data.tokens | {split: data.tokens[split].select(np.arange(7))}
    changed = dataclasses.replace(data, tokens=fewer)
    assert result_key("lstm", None, changed, 1) != result_key("lstm", None, data, 1)


def test_the_key_changes_with_the_trainers_code(data, monkeypatch):
    before = result_key("lstm", None, data, 1)
    monkeypatch.setattr(candidates, "code_version", lambda stage: f"another {stage}")
    assert result_key("lstm", None, data, 1) != before


def test_a_network_is_trained_exported_and_measured(data, transform_output, tiny_settings, tmp_path):
    data = dataclasses.replace(data, transform_output=transform_output)
    steps = {"epochs": 12, "patience": 12, "batch_tokens": 30, "learning_rate": 0.05}
    settings = tiny_settings.model_dump() | steps | {"units": 8, "seed": 3}
    outcome = candidates.train_network("lstm, tiny", Recipe.from_config(settings), data, tmp_path / "checkpoints")
    assert (outcome.name, outcome.seed, len(outcome.correct)) == ("lstm, tiny", 3, 12)
    assert outcome.accuracy > 0.7
    # Eight ids, 8 wide; an LSTM of 8 units; four classes.
    assert outcome.parameters == 8 * 8 + 4 * 8 * (8 + 8 + 1) + 4 * (8 + 1)
    assert outcome.size > 10_000
    assert min(outcome.seconds, outcome.rows_per_second, outcome.seconds_per_epoch) > 0
    assert all(0 <= error <= 1 for error in outcome.ece)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_the_notebooks_network_is_trained_as_in_the_notebook(data, monkeypatch):
    fitted = []
    fit = keras.Model.fit

    def watched(self, batches, **options):
        fitted.extend(next(iter(batches))[0].numpy().ravel().tolist())
        return fit(self, batches, **options)

    monkeypatch.setattr(keras.Model, "fit", watched)
    outcome = candidates.train_notebook_network("notebook's simple_rnn_titles", "simple_rnn_titles", data, seed=5)
    assert fitted == [title.encode() for title in data.texts[TRAIN].titles[:16]]
    assert (outcome.name, outcome.seed, len(outcome.correct)) == ("notebook's simple_rnn_titles", 5, 12)
    # The notebook's own summary.
    assert outcome.parameters == 1_281_364
    assert outcome.size > 1_000_000


def test_a_baseline_learns_from_train_and_val_and_predicts_test(data, monkeypatch):
    asked = {}

    def fake(texts, labels, test_texts):
        asked.update(texts=texts, labels=labels, test_texts=test_texts)
        return candidates.baselines.BaselineResult(np.zeros(12, int), 1.5, 77)

    monkeypatch.setitem(candidates.baselines.BASELINES, "fake", fake)
    outcome = candidates.train_baseline("fake", data)
    assert asked["texts"] == data.texts[TRAIN].texts + data.texts[VAL].texts
    assert asked["labels"].tolist() == [*data.texts[TRAIN].labels, *data.texts[VAL].labels]
    assert asked["test_texts"] == data.texts[TEST].texts
    assert (outcome.accuracy, outcome.seconds, outcome.size) == (0.25, 1.5, 77)
