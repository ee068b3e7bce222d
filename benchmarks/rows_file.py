"""`make rows-file`: writes the rows of a training to one file, for a machine that has only TensorFlow."""

import os
from pathlib import Path

import click

from pipeline.cli import main
from pipeline.cli.options import LocalPath, settings_options
from pipeline.settings.sources import Loaded


@click.command(epilog="Example:  make rows-file ARGS='--data ~/ag_news --output rows.npz'")
@click.option("--output", type=LocalPath(dir_okay=False), default="rows.npz", show_default=True, help="File to write.")
@settings_options
def rows_file(loaded: Loaded, output: Path) -> None:
    """Run the pipeline up to Transform, learn word vectors, and write rows, vectors and recipe to one file."""
    from rich.console import Console

    from components.trainer.rows_file import RowsFile, StoredRecipe
    from components.trainer.settings import Recipe
    from components.trainer.shapes import RANDOM
    from components.trainer.word_vectors import make
    from pipeline.cli.data import resolve_source
    from pipeline.experiments.compare.data import prepare
    from pipeline.runners.display import PlainDisplay
    from pipeline.runners.logs import logged_to
    from schema.features import TRAIN

    settings = loaded.settings
    console = Console()
    with logged_to(Path(os.devnull), verbose=False) as terminal, PlainDisplay(Console(file=terminal)) as display:
        data = prepare(settings, resolve_source(settings), display)
    recipe = Recipe.from_config(settings.trainer.model_dump())
    vectors = None if recipe.word_vectors == RANDOM else make(data.tokens[TRAIN], data.words, recipe)
    RowsFile(data.tokens, data.words, vectors, StoredRecipe(**recipe.model_dump())).write(output)
    counts = ", ".join(f"{len(rows):,} {split}" for split, rows in data.tokens.items())
    console.print(f"{output}: {counts} rows, {output.stat().st_size / 1e6:.0f} MB", highlight=False)


if __name__ == "__main__":
    main(rows_file, "rows-file")
