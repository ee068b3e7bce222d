"""`agnews versions canary`: compares the canary with the stable version."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.example_gen.readers import read_rows
from components.example_gen.row_format import RowFormat
from components.example_gen.rows import RejectedRow
from pipeline.cli.options import LocalPath, asked_server_options
from pipeline.cli.output import make_console, make_table
from pipeline.settings.sources import load
from schema.errors import DataError
from schema.news_items import TEXT_COLUMNS, NewsItem, validate
from schema.wording import amount
from serving.item_files import BadRow, read_items

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.monitoring.canary_report import CanaryReport

_SHOWN_CHARACTERS = 90


@click.command(epilog="Example:  agnews versions canary --file test.csv --server localhost:8500")
@click.option(
    "--file",
    "path",
    type=LocalPath(dir_okay=False),
    required=True,
    help="Texts, with classes like the training data (CSV, Parquet) or without (CSV with a header, JSON Lines).",
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
def canary(
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

    from serving.client import Client
    from serving.client.canary_comparison import ask_both

    items, bad = read_items_with_classes(path, load().settings.data.row_format())
    if not items:
        raise DataError(f"{path}: no row can be classified; {f'the first is {bad[0]}' if bad else 'it is empty'}")
    if bad:
        click.echo(f"left out {amount(len(bad), 'bad row')}; the first is {bad[0]}", err=True)
    if rows is not None and rows < len(items):
        items = random.Random(seed).sample(items, rows)
    with Client(**client_options) as client, _show_progress(len(items)) as advance:
        answers = ask_both(client, items, seed=seed, advance=advance)
    from pipeline.monitoring.canary_report import evaluate

    if not any(all(pair.answers.values()) for pair in answers.pairs):
        label, reasons = next((label, reasons) for label, reasons in answers.failures.items() if reasons)
        raise DataError(
            f"no item was answered by both labels; {label} failed {amount(len(reasons), 'time')}, first: {reasons[0]}"
        )
    evaluated = evaluate(answers)
    if as_json:
        click.echo(json.dumps(_to_json_dict(evaluated), indent=2, ensure_ascii=False))
    else:
        print_report(make_console(140), evaluated, examples)


@contextlib.contextmanager
def _show_progress(total: int) -> Iterator[Callable[[], None]]:
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
    console.print(_labels_table(report))
    if report.changed and examples:
        console.print(_changed_table(report, examples))


def _verdict(report: "CanaryReport") -> Iterator[str]:
    low, high = report.agreement_interval
    same = report.compared - len(report.changed)
    yield (
        f"same class for {same:,} of {amount(report.compared, 'item')}: {report.agreement:.2%}, "
        f"95 % interval {low:.2%} to {high:.2%}; largest shift of a probability {report.largest_shift:.3f}"
    )
    if report.versions["stable"] == report.versions["canary"]:
        yield "stable and canary are the same version, so there is nothing to compare"
    if moves := report.moves():
        yield "changed: " + ", ".join(f"{before} → {after} {count:,}" for before, after, count in moves)
    if report.test:
        test = report.test
        better = "canary" if test.only_second > test.only_first else "stable"
        verdict = f"{better} is better" if test.p_value < 0.05 else "no difference that chance would not make as well"
        yield (
            f"right alone on {amount(report.labelled, 'item')} with a class: stable {test.only_first:,}, canary "
            f"{test.only_second:,}; McNemar's exact test p = {test.p_value:.3g}: {verdict}"
        )
    for label, reasons in report.failures.items():
        if reasons:
            yield f"{label} failed on {len(reasons):,} of {amount(report.asked, 'item')}; the first: {reasons[0]}"


def _labels_table(report: "CanaryReport"):

    table = make_table("label", "version")
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


def _changed_table(report: "CanaryReport", examples: int):
    from rich.text import Text

    shown = report.changed[:examples]
    title = f"{len(shown)} of {amount(len(report.changed), 'changed item')}"
    table = make_table("stable", "canary", title=title, title_justify="left")
    if report.test:
        table.add_column("true class")
    table.add_column("text", no_wrap=True, overflow="ellipsis")
    for pair in shown:
        answers = [f"{answer.label} {answer.probability:.2f}" for answer in pair.answers.values() if answer]
        text = " ".join(f"{pair.item.title} {pair.item.description}".split())[:_SHOWN_CHARACTERS]
        # Text, because brackets in a user's text are not markup.
        table.add_row(*answers, *([pair.true_class] if report.test else []), Text(text))
    return table


def _to_json_dict(report: "CanaryReport") -> dict[str, Any]:
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


def read_items_with_classes(
    path: Path,
    row_format: RowFormat = RowFormat(),  # noqa: B008
) -> tuple[list[tuple[NewsItem, str | None]], list[str]]:
    """Reads a file in a format of the training data or of `agnews classify`.

    Args:
        path: the file.
        row_format: columns and classes of training data.

    Returns:
        The items, each with its class, or None if the file has no classes; and a message for each bad row.

    Raises:
        DataError: the file does not exist or has neither format.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one with texts")
    try:
        items, bad = _read_labelled(path, row_format)
    except DataError:
        if path.suffix == ".parquet" or "tfrecord" in path.name:  # These formats always have classes.
            raise
        items = []
    if items:
        return items, bad
    with path.open("rb") as file:
        rows = list(read_items(file, str(path), row_format.text_columns or TEXT_COLUMNS))
    good = [(row.item, None) for row in rows if not isinstance(row, BadRow)]
    return list(good), [str(row) for row in rows if isinstance(row, BadRow)]


def _read_labelled(path: Path, row_format: RowFormat) -> tuple[list[tuple[NewsItem, str | None]], list[str]]:
    items: list[tuple[NewsItem, str | None]] = []
    bad = []
    for row in read_rows(str(path), row_format):
        if isinstance(row, RejectedRow):
            bad.append(f"{row.file}:{row.number}: {row.reason} ({row.detail})")
            continue
        item = NewsItem(row.title, row.description)
        if rejection := validate(item):
            bad.append(f"{row.file}:{row.number}: {rejection.detail}")
        elif row.label is None:
            bad.append(f"{row.file}:{row.number}: the class {row.class_as_read!r} is unknown")
        else:
            items.append((item, row_format.class_names[row.label]))
    return items, bad
