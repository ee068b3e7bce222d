import dataclasses
import logging
from unittest.mock import Mock

import pytest

from pipeline.experiments.compare import candidates
from pipeline.experiments.compare.baselines import BASELINES
from pipeline.experiments.compare.compare import compare
from pipeline.settings import TrainerSettings
from schema.errors import SettingsError
from schema.features import TEST, TRAIN, VAL
from schema.interruption import Interrupted

SETTINGS = TrainerSettings(seed=5)


@pytest.fixture
def trained(monkeypatch, outcome):
    """Replaces the trainings by fakes, and holds the arguments of their calls by function, in order."""
    calls = {"train_network": [], "train_baseline": [], "train_notebook_network": []}

    def train_network(name, recipe, data, checkpoints):
        calls["train_network"].append((name, recipe, data))
        return outcome(name=name, seed=recipe.seed)

    def train_baseline(name, data):
        calls["train_baseline"].append((name, data))
        return outcome(name=name)

    def train_notebook_network(name, architecture, data, seed):
        calls["train_notebook_network"].append((architecture, data, seed))
        return outcome(name=name, seed=seed)

    for fake in (train_network, train_baseline, train_notebook_network):
        monkeypatch.setattr(candidates, fake.__name__, fake)
    return calls


@pytest.fixture
def compared(data, tmp_path):
    """A function that runs a comparison with changed options and returns its rows."""

    def run(settings=SETTINGS, **changes):
        options = {"networks": ["lstm"], "variants": [], "seeds": 1, "baselines": False, "seed_notebook": False}
        options |= {
            "fraction": 1.0,
            "results": tmp_path / "results",
            "report": lambda text: None,
            "watcher": Mock(),
        } | changes
        return compare(options.pop("data", data), settings, **options)

    return run


def test_every_candidate_has_a_row_in_order(trained, compared):
    lines = compared(
        networks=["lstm", "simple_rnn"], variants=["no mask:masking=false"], baselines=True, seed_notebook=True
    )
    assert [line.name for line in lines] == [
        *("lstm", "lstm, no mask", "simple_rnn", "simple_rnn, no mask"),
        *BASELINES,
        *("notebook's lstm", "notebook's simple_rnn"),
    ]


def test_baselines_and_notebook_can_be_left_out(trained, compared):
    assert [line.name for line in compared()] == ["lstm"]
    assert trained["train_baseline"] == trained["train_notebook_network"] == []


def test_stored_outcomes_are_not_trained_again(trained, compared):
    first = compared(seeds=2, baselines=True, seed_notebook=True)
    before = {kind: len(calls) for kind, calls in trained.items()}
    second = compared(seeds=2, baselines=True, seed_notebook=True)
    assert before == {"train_network": 2, "train_baseline": len(BASELINES), "train_notebook_network": 1}
    assert {kind: len(calls) for kind, calls in trained.items()} == before
    assert second == first


def test_only_new_seeds_are_trained(trained, compared):
    compared(seeds=1)
    compared(seeds=3)
    assert [recipe.seed for _, recipe, _ in trained["train_network"]] == [5, 6, 7]


def test_an_interrupted_comparison_continues(trained, compared, monkeypatch):
    def killed(name, data):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(candidates, "train_baseline", killed)
        with pytest.raises(KeyboardInterrupt):
            compared(baselines=True)
    compared(baselines=True)
    assert len(trained["train_network"]) == 1


def test_the_outcome_of_a_training_that_ignores_a_signal_is_not_kept(
    trained, compared, tmp_path, monkeypatch, interrupt
):
    quick = candidates.train_baseline
    monkeypatch.setattr(candidates, "train_baseline", lambda *arguments: interrupt() or quick(*arguments))
    with pytest.raises(Interrupted):
        compared(baselines=True)
    assert len(trained["train_network"]) == len(trained["train_baseline"]) == 1
    assert len(list((tmp_path / "results").glob("*.json"))) == 1


def test_other_settings_are_trained_again(trained, compared):
    compared(TrainerSettings(epochs=1))
    compared(TrainerSettings(epochs=2))
    assert [recipe.epochs for _, recipe, _ in trained["train_network"]] == [1, 2]


def test_seeds_are_consecutive_and_each_has_an_outcome(trained, compared):
    [line] = compared(seeds=3)
    assert [recipe.seed for _, recipe, _ in trained["train_network"]] == [5, 6, 7]
    assert [outcome.seed for outcome in line.outcomes] == [5, 6, 7]


def test_a_variant_may_begin_with_another_seed(trained, compared):
    compared(variants=["other seed:seed=50"], seeds=2)
    assert [recipe.seed for _, recipe, _ in trained["train_network"]] == [5, 6, 50, 51]


def test_a_variant_is_trained_with_its_setting(trained, compared):
    compared(variants=["no mask:masking=false"])
    assert [(name, recipe.masking) for name, recipe, _ in trained["train_network"]] == [
        ("lstm", None),
        ("lstm, no mask", False),
    ]


def test_a_wrong_variant_stops_the_comparison_before_any_training(trained, compared):
    with pytest.raises(SettingsError, match=r"trainer\.maskng"):
        compared(variants=["no mask:maskng=false"])
    assert trained["train_network"] == []


def test_a_fraction_leaves_out_only_training_rows(trained, compared, data):
    compared(fraction=0.25, baselines=True, seed_notebook=True)
    [(_, _, given)] = trained["train_network"]
    assert len(given.tokens[TRAIN]) == 10
    assert len({tuple(given.tokens[TRAIN].labels), tuple(data.tokens[TRAIN].labels)}) == 2
    assert given.tokens[VAL] is data.tokens[VAL]
    assert given.tokens[TEST] is data.tokens[TEST]
    assert all(given is data for _, given in trained["train_baseline"])
    assert all(given is data for _, given, _ in trained["train_notebook_network"])


def test_a_fraction_takes_the_same_rows_each_time(trained, compared, tmp_path):
    for directory in ("one", "two"):
        compared(fraction=0.5, results=tmp_path / directory / "results")
    first, second = (given.tokens[TRAIN].fingerprint() for _, _, given in trained["train_network"])
    assert first == second


def test_a_fraction_does_not_train_the_baselines_again(trained, compared):
    compared(baselines=True, seed_notebook=True)
    compared(baselines=True, seed_notebook=True, fraction=0.5)
    assert (len(trained["train_network"]), len(trained["train_baseline"]), len(trained["train_notebook_network"])) == (
        2,
        len(BASELINES),
        1,
    )


def test_other_rows_are_trained_again(trained, compared, data):
    fewer = data.tokens | {TEST: data.tokens[VAL]}
    compared(baselines=True, seed_notebook=True)
    compared(baselines=True, seed_notebook=True, data=dataclasses.replace(data, tokens=fewer))
    assert (len(trained["train_network"]), len(trained["train_baseline"]), len(trained["train_notebook_network"])) == (
        2,
        2 * len(BASELINES),
        2,
    )


def test_trainings_and_accuracies_are_reported(trained, compared):
    reported = []
    compared(report=reported.append)
    compared(report=reported.append)
    reached = "lstm: accuracy 0.9000, training 2 s"
    assert reported == ["training lstm, seed 5", reached, reached]


def test_the_watcher_receives_the_progress_of_a_training(monkeypatch, compared, outcome, caplog):
    caplog.set_level(logging.INFO, logger="components")

    def train_network(name, recipe, data, checkpoints):
        logging.getLogger("components.trainer.callbacks").info("epoch done", extra={"fields": {"epoch": 1}})
        return outcome(name=name, seed=recipe.seed)

    monkeypatch.setattr(candidates, "train_network", train_network)
    watcher = Mock()
    compared(watcher=watcher)
    [call] = watcher.progressed.mock_calls
    [event] = call.args
    assert (event.component, event.event, event.fields) == ("lstm", "epoch done", {"epoch": 1})
