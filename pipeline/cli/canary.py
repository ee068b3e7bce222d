"""`agnews canary`: compares the canary with the stable version."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import LocalPath
from pipeline.cli.promotion import print_change, signed_options
from pipeline.cli.server_options import asked_server_options
from schema.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.monitoring.canary_report import CanaryReport
    from serving.promotion import Deployment, Signature

_PLAIN_WIDTH = 140
_SHOWN_CHARACTERS = 90


@click.group(epilog="Example:  agnews canary report --file test.csv --server localhost:8500")
def canary() -> None:
    """Compare the answers of stable and canary, and end a canary."""


@canary.command(epilog="Example:  agnews canary report --file test.csv --rows 1000")
@click.option(
    "--file",
    "path",
    type=LocalPath(dir_okay=False),
    required=True,
    help="News items, with classes like the training data (CSV, Parquet) or without (CSV with a header, JSON Lines).",
)
@click.option(
    "--rows", type=click.IntRange(min=1), help="Maximum number of items to send, sampled at random  [default: all]"
)
@asked_server_options
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed of the sample and of the order.")
@click.option(
    "--examples", type=click.IntRange(min=0), default=10, show_default=True, help="Number of changed items to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, with all changed items.")
def report(
    path: Path,
    rows: int | None,
    seed: int,
    examples: int,
    as_json: bool,
    client_options: dict[str, Any],
) -> None:
    """Send a file's items to the labels stable and canary, and compare answers and latencies.

    The command sends one request at a time, in random order, and each item to both labels. If the file has classes,
    McNemar's test shows whether the difference in accuracy is statistically significant.
    """
    import random

    from pipeline.cli.labelled_items import read_items_with_classes
    from serving.client import Client
    from serving.client.canary_comparison import ask_both

    items, bad = read_items_with_classes(path)
    if not items:
        raise DataError(f"{path}: no row can be classified; {f'the first is {bad[0]}' if bad else 'it is empty'}")
    if bad:
        click.echo(f"{len(bad)} bad rows are left out; the first is {bad[0]}", err=True)
    if rows is not None and rows < len(items):
        items = random.Random(seed).sample(items, rows)
    with Client(**client_options) as client, _progress(len(items)) as advance:
        answers = ask_both(client, items, seed=seed, advance=advance)
    from pipeline.monitoring.canary_report import evaluate

    if not any(all(pair.answers.values()) for pair in answers.pairs):
        label, reasons = next((label, reasons) for label, reasons in answers.failures.items() if reasons)
        raise DataError(
            f"no item was answered by both labels; {label} failed {len(reasons)} times, first: {reasons[0]}"
        )
    evaluated = evaluate(answers)
    if as_json:
        click.echo(json.dumps(_plain(evaluated), indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        print_report(Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH), evaluated, examples)


@canary.command(epilog="Example:  agnews canary end --reason 'no better than stable' --server localhost:8500")
@signed_options
def end(deployment: "Deployment", signature: "Signature") -> None:
    """Remove the label canary, and unload its version.

    Clients that ask for the label then get an error, so stop sending them a share of the requests first.
    """
    from serving import promotion

    record = promotion.end_canary(deployment, signature)
    if record is None:
        click.echo("no version is the canary; nothing was changed")
    else:
        print_change(deployment, record)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("asking stable and canary", total=total)
        yield lambda: bar.advance(task)


def print_report(console: "Console", report: "CanaryReport", examples: int) -> None:
    """Prints how the answers differ, one line per label, and some of the changed items."""
    for line in _verdict(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_labels(report))
    if report.changed and examples:
        console.print(_changed(report, examples))


def _verdict(report: "CanaryReport") -> Iterator[str]:
    low, high = report.agreement_interval
    same = report.compared - len(report.changed)
    yield (
        f"same class for {same:,} of {report.compared:,} items: {report.agreement:.2%}, "
        f"95 % interval {low:.2%} to {high:.2%}; largest shift of a probability {report.largest_shift:.3f}"
    )
    if moves := report.moves():
        yield "changed: " + ", ".join(f"{before} → {after} {count:,}" for before, after, count in moves)
    if report.test:
        test = report.test
        better = "canary" if test.only_second > test.only_first else "stable"
        verdict = f"{better} is better" if test.p_value < 0.05 else "no difference that chance would not make as well"
        yield (
            f"right alone on {report.labelled:,} items with a class: stable {test.only_first:,}, canary "
            f"{test.only_second:,}; McNemar's exact test p = {test.p_value:.3g}: {verdict}"
        )
    for label, reasons in report.failures.items():
        if reasons:
            yield f"{label} failed on {len(reasons):,} of {report.asked:,} items; the first: {reasons[0]}"


def _labels(report: "CanaryReport"):
    from rich.table import Table

    table = Table("label", "version", box=None, pad_edge=False, header_style="dim")
    columns = [
        *(["accuracy"] if report.accuracy else []),
        *(f"p{p} ms" for p in report.milliseconds["stable"]),
        "failed",
    ]
    for column in columns:
        table.add_column(column, justify="right")
    for label, milliseconds in report.milliseconds.items():
        accuracy = [f"{report.accuracy[label]:.4f}"] if report.accuracy else []
        times = [f"{value:.2f}" for value in milliseconds.values()]
        versions = ", ".join(map(str, report.versions[label]))
        table.add_row(label, versions, *accuracy, *times, f"{len(report.failures[label]):,}")
    return table


def _changed(report: "CanaryReport", examples: int):
    from rich.table import Table
    from rich.text import Text

    shown = report.changed[:examples]
    title = f"{len(shown)} of {len(report.changed)} changed items"
    table = Table("stable", "canary", title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    if report.test:
        table.add_column("true class")
    table.add_column("text", no_wrap=True, overflow="ellipsis")
    for pair in shown:
        answers = [f"{answer.label} {answer.probability:.2f}" for answer in pair.answers.values() if answer]
        text = " ".join(f"{pair.item.title} {pair.item.description}".split())[:_SHOWN_CHARACTERS]
        # Text, because brackets in a user's text are not markup.
        table.add_row(*answers, *([pair.true_class] if report.test else []), Text(text))
    return table


def _plain(report: "CanaryReport") -> dict[str, Any]:
    return {
        "versions": dict(report.versions),
        "asked": report.asked,
        "compared": report.compared,
        "failures": {label: list(reasons) for label, reasons in report.failures.items()},
        "agreement": report.agreement,
        "agreement_interval_95": list(report.agreement_interval),
        "largest_shift": report.largest_shift,
        "labelled": report.labelled,
        "accuracy": dict(report.accuracy),
        "mcnemar": vars(report.test) if report.test else None,
        "milliseconds": {label: {f"p{p}": v for p, v in times.items()} for label, times in report.milliseconds.items()},
        "moves": [{"stable": before, "canary": after, "items": count} for before, after, count in report.moves()],
        "changed": [
            {
                "title": pair.item.title,
                "description": pair.item.description,
                "true_class": pair.true_class,
                **{label: {"label": a.label, "probability": a.probability} for label, a in pair.answers.items() if a},
            }
            for pair in report.changed
        ],
    }
