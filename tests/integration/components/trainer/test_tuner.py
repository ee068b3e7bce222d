import keras_tuner
import pytest

from components.trainer import tuner
from components.trainer.settings import Recipe, TrainerSettings
from schema.features import CLASS_NAMES


def search(directory, recipe, train_rows, val_rows, words, trials=3):
    found = tuner.RecipeTuner(
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=trials,
        seed=1,
        hyperparameters=tuner.search_space(),
        tune_new_entries=False,
        directory=str(directory),
        project_name="search",
    )
    found.search(train_rows=train_rows, val_rows=val_rows, words=words, recipe=recipe, classes=len(CLASS_NAMES))
    return found


@pytest.fixture(scope="module")
def searched(tmp_path_factory, recipe, train_rows, val_rows, words):
    small = recipe(architecture="lstm", epochs=1, perturbation=0.0)
    return search(tmp_path_factory.mktemp("tuner"), small, train_rows, val_rows, words)


def test_the_best_trial_has_the_lowest_loss_on_val(searched):
    trials = searched.oracle.get_best_trials(3)
    losses = [trial.score for trial in trials]
    assert len(losses) == 3
    assert losses == sorted(losses)
    [best] = searched.get_best_hyperparameters()
    assert best.values == trials[0].hyperparameters.values


def test_each_trial_draws_another_recipe(searched):
    drawn = [trial.hyperparameters.values["learning_rate"] for trial in searched.oracle.trials.values()]
    assert len(set(drawn)) == 3


def test_trials_leave_no_checkpoints(searched, tmp_path_factory):
    import os

    assert os.listdir(os.path.join(searched.project_dir, "checkpoints")) == []


def test_the_search_space_has_only_trainer_settings():
    """The best values override the trainer's settings by name."""
    names = set(tuner.search_space().values)
    assert names <= set(TrainerSettings.model_fields)
    assert names <= set(Recipe.model_fields)
