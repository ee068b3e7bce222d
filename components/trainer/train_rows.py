"""Trains a network from a file of rows: `python -m components.trainer.train_rows --rows rows.npz`.

It needs TensorFlow, Keras and NumPy alone, for instance on a host with a GPU. The last line of its output is JSON.
"""

import argparse
import json
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from components.trainer.batches import Buckets
from components.trainer.rows_file import RowsFile, StoredRecipe
from components.trainer.training import predict_logits, train
from schema.errors import AgNewsError, SettingsError
from schema.splits import TEST, TRAIN, VAL

if TYPE_CHECKING:
    from components.trainer.settings import Recipe


def main(arguments: list[str]) -> int:
    """Trains, prints the facts of the training and the accuracy on the test rows, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="train_rows", description="Train a network from a file of rows.")
    parser.add_argument("--rows", type=Path, required=True, help="file that `make rows-file` wrote")
    parser.add_argument("--weights", type=Path, help="file for the weights of the best epoch; it ends in .weights.h5")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value of the recipe, as JSON"
    )
    options = parser.parse_args(arguments)
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(_Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[log])
    try:
        file = RowsFile.read(options.rows)
        print(json.dumps(train_file(file, _changed(file.recipe, options.set), options.weights)))  # noqa: T201
    except AgNewsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def train_file(file: RowsFile, recipe: StoredRecipe, weights: Path | None = None) -> dict[str, Any]:
    """Trains with a recipe and tests the network.

    Args:
        file: rows, vocabulary and initial word vectors.
        recipe: the recipe.
        weights: file for the weights of the best epoch.

    Returns:
        The facts of the training, and `test_accuracy` if the file has test rows.
    """
    with TemporaryDirectory() as checkpoints:
        trained = train(
            file.rows[TRAIN],
            file.rows[VAL],
            file.words,
            cast("Recipe", recipe),
            checkpoint_root=checkpoints,
            vectors=file.vectors,
        )
    facts = dict(trained.facts)
    if (test := file.rows.get(TEST)) is not None:
        test = test.titles() if recipe.network.titles_only else test
        logits = predict_logits(trained.network, test, Buckets(recipe.bucket_boundaries, recipe.batch_tokens))
        facts["test_accuracy"] = float((logits.argmax(axis=1) == test.labels).mean())
    if weights:
        trained.network.save_weights(weights)
    return facts


def _changed(recipe: StoredRecipe, assignments: list[str]) -> StoredRecipe:
    values = dict(vars(recipe))
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or key not in values:
            raise SettingsError(f"--set {assignment}: expected KEY=VALUE with a key of the recipe: {', '.join(values)}")
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = value
    return StoredRecipe(**values)


class _Formatter(logging.Formatter):
    """Prints an event with its fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = ", ".join(f"{name} {value}" for name, value in getattr(record, "fields", {}).items())
        return f"{record.getMessage()}: {fields}" if fields else record.getMessage()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
