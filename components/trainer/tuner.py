"""The user function of the Tuner component: a random search (Bergstra and Bengio 2012) for the lowest loss on val."""

import logging
import os
from typing import Any

import keras_tuner
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components.trainer.batches import TokenizedRows
from components.trainer.input_pipeline import StreamedRows, open_rows, read_rows
from components.trainer.settings import Recipe
from components.trainer.training import train
from schema.model_contract import VOCABULARY

logger = logging.getLogger(__name__)


def search_space() -> keras_tuner.HyperParameters:
    """Returns the trainer settings to search, with their ranges."""
    space = keras_tuner.HyperParameters()
    space.Float("learning_rate", 5e-4, 8e-3, sampling="log")
    for name, highest in (("word_dropout", 0.3), ("embedding_dropout", 0.6), ("feature_dropout", 0.6)):
        space.Float(name, 0.0, highest, step=0.1)
    space.Float("weight_decay", 1e-4, 1e-1, sampling="log")
    return space


class RecipeTuner(keras_tuner.RandomSearch):
    """Runs one training per trial, with the recipe that the trial draws."""

    def run_trial(
        self,
        trial,
        train_rows: TokenizedRows | StreamedRows,
        val_rows: TokenizedRows,
        words: list[str],
        recipe: Recipe,
    ):
        """Trains a network and returns the metrics of the epoch with the lowest loss on val."""
        drawn = recipe.model_copy(update=trial.hyperparameters.values)
        checkpoints = os.path.join(self.project_dir, "checkpoints")
        trained = train(train_rows, val_rows, words, drawn, checkpoint_root=checkpoints)
        trained.checkpoint.remove()
        history: dict[str, list[float]] = trained.facts["history"]
        best = min(range(len(history["val_loss"])), key=history["val_loss"].__getitem__)
        metrics = {name: history[name][best] for name in ("val_loss", "val_accuracy")}
        logger.info(
            "trial done", extra={"fields": {"trial": trial.trial_id, **trial.hyperparameters.values, **metrics}}
        )
        return metrics


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Returns a tuner and the arguments of its search.

    Args:
        fn_args: uses these attributes: `train_files` and `eval_files`, the rows of train and val; `custom_config`, the
            trainer's settings by name and `trials`; `working_dir`, the directory of the search.
    """
    config: dict[str, Any] = fn_args.custom_config
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    words = [word.decode() for word in transform_output.vocabulary_by_name(VOCABULARY)]
    recipe = Recipe.from_config(config)
    tuner = RecipeTuner(
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=config["trials"],
        seed=recipe.seed,
        hyperparameters=search_space(),
        tune_new_entries=False,
        directory=fn_args.working_dir,
        project_name="search",
        overwrite=True,
    )
    rows = {
        "train_rows": open_rows(fn_args.train_files, max_memory_rows=config["max_memory_rows"]),
        "val_rows": read_rows(fn_args.eval_files),
    }
    return TunerFnResult(tuner=tuner, fit_kwargs={**rows, "words": words, "recipe": recipe})
