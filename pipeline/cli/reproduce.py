"""`agnews reproduce`: repeats a model's training and compares the results."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import check_file, make_console, make_directory, make_table, write_file
from pipeline.settings.sources import Loaded
from schema.errors import AgNewsError, ReproductionError
from schema.paths import refuse_wildcards
from schema.temporary import temporary_directory
from schema.wording import amount
from serving.finite_range import FiniteRange

if TYPE_CHECKING:
    from pipeline.experiments.reproduce import Reproduction


@click.command(epilog="Example:  agnews reproduce 1795578266 --output reproduction.json")
@click.argument("model", type=click.IntRange(min=1))
@click.option("--any-code", is_flag=True, help="Continue if the code differs from the recorded code.")
@click.option(
    "--tolerance", type=FiniteRange(min=0), default=0.0, show_default=True, help="Largest difference to accept."
)
@click.option("--output", type=LocalPath(dir_okay=False), help="File for the results as JSON.")
@click.option(
    "--directory",
    type=LocalPath(file_okay=False),
    help="Working directory to keep, new or empty  [default: a temporary directory]",
)
@settings_options
def reproduce(
    loaded: Loaded, model: int, any_code: bool, tolerance: float, output: Path | None, directory: Path | None
) -> None:
    """Repeat a model's training and compare metrics and weights.

    MODEL is a model id or a pushed version. The command uses the recorded rows, settings and code. It writes only to
    --directory and --output, and pushes nothing.

    Exit status: 0 the results are equal; 12 they differ, or the training cannot be repeated; 3 the model does not
    exist.
    """
    from rich.console import Console

    from pipeline.runners.display import PlainDisplay
    from pipeline.runners.logs import logged_to

    if output is not None:
        check_file("--output", output)
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(temporary_directory()))
        elif directory.exists() and any(directory.iterdir()):
            raise ReproductionError(f"{directory} is not empty: name a new directory with --directory")
        directory = directory.absolute()
        refuse_wildcards("--directory", str(directory))
        make_directory("--directory", directory)
        log = directory / "reproduce.log"
        terminal = stack.enter_context(logged_to(log, verbose=False))
        try:
            outcome = _reproduce(loaded, model, directory, PlainDisplay(Console(file=terminal)), any_code, tolerance)
        except AgNewsError:
            raise
        except Exception as error:
            last = log.read_text(encoding="utf-8").splitlines()[-1:]
            raise ReproductionError(f"the training failed: {type(error).__name__}: {error} {last}") from error
    # Print the results first, in case the file cannot be written.
    _print(outcome)
    if output is not None:
        write_file("--output", output, outcome.to_json())
    if not outcome.same:
        raise ReproductionError(f"model {outcome.model} came out different")


def _reproduce(loaded: Loaded, model: int, directory: Path, display, any_code: bool, tolerance: float):
    from pipeline.experiments.reproduce import reproduce as repeat
    from pipeline.metadata.connection import required_store

    store = required_store(loaded.settings)
    return repeat(loaded.settings, store, model, directory, display, any_code=any_code, tolerance=tolerance)


def _print(outcome: "Reproduction") -> None:

    click.echo(f"model {outcome.model}, revision {outcome.revision or 'not recorded'}: {outcome.export}")
    known = {True: "the recorded fingerprint", False: "ANOTHER fingerprint", None: "no fingerprint was recorded"}
    click.echo(f"rows: {outcome.rows}; {known[outcome.same_rows]}")
    for name, (then, now) in outcome.changed_versions.items():
        click.echo(f"{name} was {then}, here it is {now}")
    table = make_table("metric")
    for column in ("recorded", "repeated", "largest difference"):
        table.add_column(column, justify="right")
    for name, one in outcome.metrics.items():
        last = [f"{values[-1]:.6g}" if values else "" for values in (one.recorded, one.repeated)]
        table.add_row(name, *last, _number(one.largest))
    if outcome.answers:
        answers = outcome.answers
        accuracies = (f"{answers.recorded_accuracy:.6g}", f"{answers.repeated_accuracy:.6g}")
        table.add_row(f"accuracy, {amount(answers.rows, 'test row')}", *accuracies, "")
        table.add_row("their probabilities", "", "", _number(answers.largest))
    make_console(120).print(table)
    weights = outcome.weights
    click.echo(
        f"weights: {weights.identical} of {weights.tensors} tensors identical, bit for bit; largest difference "
        f"{_number(weights.largest)}"
        + (f"; in one export alone: {', '.join(weights.only_one)}" if weights.only_one else "")
    )
    if outcome.same:
        click.echo("the same" if not outcome.tolerance else f"the same but for differences up to {outcome.tolerance:g}")


def _number(value: float | None) -> str:
    return "not comparable" if value is None else f"{value:.3g}"
