"""Settings of runs, read from the executions of their components."""

import json

from pipeline.metadata.snapshot import Execution
from pipeline.review.run_settings import filter_by_settings, settings_of_run, varying_conditions

SETTINGS = {"a": {"trainer.epochs": "3", "trainer.units": "64"}, "b": {"trainer.epochs": "2", "trainer.units": "64"}}


def execution(kind, config):
    return Execution(1, kind, "COMPLETE", 0.0, 1.0, 1, config=config)


def test_settings_are_read_as_tfx_stores_them():
    message = {"custom_config": {"@type": "…/google.protobuf.Struct", "value": {"max_chars": 10_000.0, "code": "5a"}}}
    recipe = {"epochs": 3, "learning_rate": 0.005, "word_vectors": None, "bucket_boundaries": [16, 20], "code": "5a"}
    executions = [
        execution("AgNewsExampleGen", json.dumps(message)),
        execution("AgNewsTrainer", json.dumps(recipe)),
        execution("Tuner", json.dumps({"epochs": 9})),
        execution("StatisticsGen", ""),
    ]
    assert settings_of_run(executions) == {
        "data.max_chars": "10000",
        "trainer.epochs": "3",
        "trainer.learning_rate": "0.005",
        "trainer.word_vectors": "null",
        "trainer.bucket_boundaries": "16,20",
    }


def test_all_conditions_must_be_met():
    assert filter_by_settings(["a", "b"], "trainer.units=64 trainer.epochs=3", SETTINGS.get) == (["a"], "")
    assert filter_by_settings(["a", "b"], " ", SETTINGS.get) == (["a", "b"], "")


def test_a_wrong_condition_is_explained():
    assert filter_by_settings(["a"], "trainer.epoch=3", SETTINGS.get) == (
        [],
        "trainer.epoch: no run recorded this setting; did you mean 'trainer.epochs'?",
    )
    assert "expected NAME=VALUE" in filter_by_settings(["a"], "epochs", SETTINGS.get)[1]


def test_only_settings_that_differ_are_offered():
    assert varying_conditions(SETTINGS.values()) == ["trainer.epochs=2", "trainer.epochs=3"]
