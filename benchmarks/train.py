"""`make bench-train`: compares the seed notebook's training with this project's on the same rows and machine.

The two alternate, each in a new process with its own peak memory. The notebook trains for one epoch. This project's
recipe is checked every few steps, with the clock stopped, until it reaches the notebook's accuracy on val; it ends with
its first epoch with perturbed copies.
"""

import json
import os
import pickle
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from pipeline.cli import INTRA_OP_THREADS, main
from pipeline.cli.options import settings_options
from pipeline.settings.sources import Loaded
from schema.features import TRAIN, VAL

NOTEBOOK, OURS = "the notebook's way", "this project"


@click.command(epilog="Example:  make bench-train ARGS='--data ~/ag_news --rounds 3'")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Trainings per method.")
@click.option("--rows", type=click.IntRange(min=1000), help="Rows to train on  [default: all]")
@settings_options
def bench_train(loaded: Loaded, rounds: int, rows: int | None) -> None:
    """Train the stacked BiLSTM like the seed notebook and with this project's recipe; compare speed and memory."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    with TemporaryDirectory() as directory:
        _prepare(loaded, rows, Path(directory), console)
        results: dict[str, list[dict]] = {NOTEBOOK: [], OURS: []}
        for number in range(rounds):
            peak = _run("benchmarks.measure")
            theirs = _run("benchmarks.train_notebook", str(Path(directory) / NOTEBOOK), str(peak))
            target = str(theirs["val_accuracy"])
            ours = _run(
                "benchmarks.train_ours",
                *(str(Path(directory) / OURS), str(peak), target),
                **{INTRA_OP_THREADS: os.environ[INTRA_OP_THREADS]},
            )
            for way, result in ((NOTEBOOK, theirs), (OURS, ours)):
                results[way].append(result)
                console.print(f"round {number + 1}, {way}: {json.dumps(result)}", highlight=False, soft_wrap=True)
    _print(console, results)


def _prepare(loaded: Loaded, rows: int | None, directory: Path, console: Console) -> None:
    """Writes the input of each method to a file of its own, so that neither loads the other's into memory."""
    import numpy as np

    from pipeline.cli.data import resolve_source
    from pipeline.experiments.compare.data import prepare
    from pipeline.runners.display import PlainDisplay
    from pipeline.runners.logs import logged_to

    settings = loaded.settings
    with (
        logged_to(Path(os.devnull), verbose=False) as terminal,
        PlainDisplay(Console(file=terminal, width=console.width)) as display,
    ):
        data = prepare(settings, resolve_source(settings), display)
    chosen = np.sort(np.random.default_rng(1).permutation(len(data.tokens[TRAIN]))[:rows])
    texts = data.texts[TRAIN]
    # Texts are in the order of the files, token ids are sorted: with --rows, the methods get different rows.
    notebook = (
        [texts.titles[index] for index in chosen],
        [texts.texts[index] for index in chosen],
        texts.labels[chosen],
        data.texts[VAL].texts,
        data.texts[VAL].labels,
    )
    recipe = settings.trainer.model_dump()
    ours = (data.tokens[TRAIN].select(chosen), data.tokens[VAL], data.words, recipe)
    for way, content in ((NOTEBOOK, notebook), (OURS, ours)):
        with open(directory / way, "wb") as file:
            pickle.dump(content, file)


def _run(module: str, *arguments: str, **variables: str):
    """Runs a module with TensorFlow's default number of threads and returns the JSON in its last line.

    Args:
        module: name of the module.
        *arguments: its arguments.
        **variables: additional environment variables.
    """
    environment = {name: value for name, value in os.environ.items() if name != INTRA_OP_THREADS} | variables
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        raise click.ClickException(f"{module} failed:\n{ended.stderr[-3000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _print(console: Console, results: dict[str, list[dict]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("median of the rounds", NOTEBOOK, OURS, "ratio"):
        table.add_column(column, justify="left" if column.startswith("median") else "right")

    def add(name: str, key: str, form: str, inverted: bool = False) -> None:
        found = [[result[key] for result in results[way] if result[key] is not None] for way in (NOTEBOOK, OURS)]
        if not all(found):
            table.add_row(name, *(form.format(statistics.median(values)) if values else "-" for values in found), "")
            return
        theirs, ours = (statistics.median(values) for values in found)
        ratio = theirs / ours if inverted else ours / theirs
        table.add_row(name, form.format(theirs), form.format(ours), f"{ratio:.2f}")

    add("rows/s", "rows_per_second", "{:,.0f}")
    add("rows/s in the last epoch", "last_rows_per_second", "{:,.0f}")
    add("seconds to the notebook's val accuracy", "seconds_to_target", "{:,.1f}", inverted=True)
    add("val accuracy at the end of the first epoch", "val_accuracy", "{:.4f}")
    add("val accuracy of the whole training", "best_val_accuracy", "{:.4f}")
    add("seconds of the whole training", "seconds", "{:,.1f}", inverted=True)
    add("peak memory, MB", "peak_mb", "{:,.0f}")
    add("matrix multiplication's peak, GFLOP/s", "peak_gflops", "{:,.0f}")
    add("share of it in the whole training", "training_share", "{:.2f}")
    add("share of it in the recurrent layers", "recurrent_share", "{:.2f}")
    console.print(table)


if __name__ == "__main__":
    main(bench_train, "bench-train")
