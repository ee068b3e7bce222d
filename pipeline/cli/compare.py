"""`agnews compare`: compares the networks, the seed notebook and linear baselines on the same rows."""

from functools import partial
from pathlib import Path
from typing import get_args

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import make_console, make_directory, write_file
from pipeline.settings import TrainerSettings
from pipeline.settings.sources import Loaded
from schema.errors import AgNewsError, SettingsError
from schema.interruption import set_advice
from serving.finite_range import FiniteRange

NETWORKS: tuple[str, ...] = get_args(TrainerSettings.model_fields["architecture"].annotation)


@click.command(epilog="Example:  agnews compare --data ~/ag_news --seeds 3 --network stacked_bilstm")
@click.option(
    "--network",
    "networks",
    multiple=True,
    type=click.Choice(NETWORKS),
    help="Network to train; may be repeated  [default: all]",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Number of training runs of each network."
)
@click.option(
    "--baselines/--no-baselines", default=True, show_default=True, help="Train TF-IDF and fastText classifiers."
)
@click.option("--peers/--no-peers", "baselines", default=True, hidden=True)  # The former name.
@click.option(
    "--seed-notebook/--no-seed-notebook",
    default=True,
    show_default=True,
    help="Train with the original code of the seed notebook.",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME:KEY=VALUE[;KEY=VALUE]",
    help="Also train each network with these trainer settings, for instance 'no mask:masking=false'.",
)
@click.option(
    "--fraction",
    type=FiniteRange(0.01, 1.0),
    default=1.0,
    show_default=True,
    help="Fraction of the training rows for the networks; the other classifiers and the notebook train on all rows.",
)
@click.option(
    "--to",
    "directory",
    type=LocalPath(file_okay=False),
    help="Directory for the table and the plot  [default: comparison under pipeline.root]",
)
@settings_options
def compare(
    loaded: Loaded,
    networks: tuple[str, ...],
    seeds: int,
    baselines: bool,
    seed_notebook: bool,
    variants: tuple[str, ...],
    fraction: float,
    directory: Path | None,
) -> None:
    """Train all networks and linear baselines on the same rows, and compare them.

    The command prints a table and writes a plot. The pipeline's own ExampleGen and Transform produce the train, val and
    test rows. Each result is stored: when a comparison is repeated, or continued after an interruption, finished
    training runs are not repeated.
    """
    from rich.console import Console

    from pipeline.cli.data import resolve_source
    from pipeline.runners.display import PlainDisplay
    from pipeline.runners.logs import logged_to
    from pipeline.runners.run_id import new_run_id

    settings = loaded.settings
    if "://" in settings.pipeline.root:
        raise SettingsError(
            f"pipeline.root {settings.pipeline.root} is remote: to compare here set it to a local directory"
        )
    settings.check_places()
    networks = networks or NETWORKS
    source = resolve_source(settings)
    root = settings.pipeline.make_root()
    make_directory("pipeline.root", root)
    directory = directory or root / "comparison"
    make_directory("--to", directory)  # Checked now, because it is needed only after hours of training.
    log = root / "logs" / f"{new_run_id()}.log"
    set_advice(f"the same command continues after the last finished training. The log is {log}")
    try:
        with logged_to(log, verbose=False) as terminal:
            console = Console(file=terminal)
            with PlainDisplay(console) as display:
                from pipeline.experiments.compare.compare import compare as run_comparison
                from pipeline.experiments.compare.data import prepare
                from pipeline.experiments.compare.variants import named_recipes

                # Report a mistake in a variant before the minutes of data preparation.
                named_recipes(settings.trainer, networks, variants)
                lines = run_comparison(
                    prepare(settings, source, display),
                    settings.trainer,
                    networks=networks,
                    variants=variants,
                    seeds=seeds,
                    baselines=baselines,
                    seed_notebook=seed_notebook,
                    fraction=fraction,
                    results=directory / "results",
                    report=partial(console.print, markup=False, highlight=False, soft_wrap=True),
                    watcher=display,
                )
    except AgNewsError as error:
        raise type(error)(f"{error}\nThe log is {log}") from error
    from pipeline.experiments.compare.table import draw_comparison, markdown, print_table

    print_table(make_console(200), lines)
    write_file("--to", directory / "comparison.md", markdown(lines))
    for form in ("png", "svg"):
        write_file("--to", directory / f"comparison.{form}", draw_comparison(lines, form))
    click.echo(f"table and plot: {directory}/comparison.md, .png, .svg")
