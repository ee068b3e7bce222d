"""`agnews classify`: classifies texts with a served model."""

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TextIO

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.cli.options import LocalPath, server_options
from pipeline.cli.output import exact_output, hide_library_output, make_console, make_table, strip_control_characters
from pipeline.settings.sources import load
from schema.data_set import AG_NEWS
from schema.errors import DataError
from schema.news_items import TEXT_COLUMNS, Classification, NewsItem, split_into_columns
from schema.wording import amount
from serving.item_files import BadRow, ItemRow, read_items, validate_item

# Rows per call: enough to keep several requests in flight, few enough to show results early.
_ROWS_A_CALL = 256
_STDIN = "-"
FORMATS = ("table", "jsonl", "csv")
Outcome = tuple[ItemRow, Classification] | BadRow
"""A row with its classification, or a bad row."""


@click.command(
    epilog="Example:  agnews classify 'Oil prices rise'   or   agnews classify --file items.csv --format csv"
)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    "path",
    type=LocalPath(allow_dash=True),
    help="CSV with a header (the model's text columns, or text; optionally id), CSV of AG News, or JSON Lines, also "
    ".gz; Parquet and TFRecords as for training; - reads standard input.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Output format.")
@click.option("--version", type=click.IntRange(0, 2**63 - 1), help="Version of the model to use.")
@click.option("--label", help="Label of the version to use.")
@server_options
def classify(
    texts: tuple[str, ...],
    path: Path | None,
    form: str,
    version: int | None,
    label: str | None,
    client_options: dict[str, Any],
) -> None:
    """Classify texts, or the rows of a file, with a served model.

    With - as TEXT, each line of standard input is a text. Each row produces one line of output, in input order. The
    line of a bad row contains the reason, and the exit status is then 3.
    """
    if bool(texts) == bool(path):
        raise click.UsageError("name either texts or a --file, for instance: agnews classify 'Oil prices rise'")
    if sum(option is not None for option in (version, label, client_options["canary"])) > 1:
        raise click.UsageError("--version, --label and --canary-share exclude each other")

    from serving.client import Client, ClientError

    bad, first_bad, done = 0, None, 0
    with Client(**client_options) as client, _open_input(path) as file, _show_progress(file) as advance:
        columns = client.text_columns(version=version, label=label)
        rows = _rows_of_texts(texts) if file is None else _rows_of_file(file, path, columns)
        write = make_writer(form, sys.stdout, columns)
        for chunk in _chunks(rows):
            items = [row.item for row in chunk if not isinstance(row, BadRow)]
            try:
                answers = iter(client.classify(items, version=version, label=label))
            except ClientError as error:
                if done:
                    raise type(error)(
                        f"{error}\nDone: {amount(done, 'row')} before {chunk[0].file}:{chunk[0].number}"
                    ) from error
                raise
            write([row if isinstance(row, BadRow) else (row, next(answers)) for row in chunk])
            wrong = [row for row in chunk if isinstance(row, BadRow)]
            first_bad = first_bad or next(iter(wrong), None)
            bad, done = bad + len(wrong), done + len(chunk)
            advance()
    if first_bad:
        raise DataError(f"{bad:,} of {amount(done, 'row')} could not be classified; the first: {first_bad}")


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Yields rows in chunks; the rows before an unreadable part of a file are yielded before its error is raised."""
    chunk = []
    try:
        for row in rows:
            chunk.append(row)
            if len(chunk) == _ROWS_A_CALL:
                yield chunk
                chunk = []
    except DataError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _rows_of_texts(texts: Sequence[str]) -> Iterator[Any]:
    place, lines = "text", iter(texts)
    if texts == (_STDIN,):
        place = "standard input"
        # Only LF ends a line of sys.stdin.buffer; splitlines() also splits at a lone CR.
        parts = (part for line in sys.stdin.buffer for part in line.splitlines())
        lines = (part.decode("utf-8", "surrogateescape") for part in parts)
    return (validate_item(place, number, NewsItem(line)) for number, line in enumerate(lines, start=1))


def _rows_of_file(file: IO[bytes], path: Path | None, columns: Sequence[str]) -> Iterator[Any]:
    assert path is not None
    # As for the training data, the name determines the format.
    if path.name.endswith(".parquet") or "tfrecord" in path.name:
        return _rows_of_training_data(path)
    return read_items(file, "standard input" if str(path) == _STDIN else str(path), columns)


def _rows_of_training_data(path: Path) -> Iterator[ItemRow | BadRow]:
    """Reads a file with the readers of ExampleGen; classes are ignored."""
    from components.example_gen.readers import read_rows
    from components.example_gen.rows import RejectedRow

    if "tfrecord" in path.name:
        with hide_library_output():
            import tensorflow as tf

            tf.config.list_physical_devices()  # Its message that there is no GPU would come with the first record.
    for row in read_rows(str(path), load("default", None, {}).settings.data.row_format()):
        if isinstance(row, RejectedRow):
            yield BadRow(row.file, row.number, f"{row.reason.replace('_', ' ')}: {row.detail}")
        else:
            yield validate_item(row.file, row.number, NewsItem(row.title, row.description))


@contextlib.contextmanager
def _open_input(path: Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
    elif str(path) == _STDIN:
        yield sys.stdin.buffer
    else:
        try:
            file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; name a readable file, or - for standard input") from error
        with file:
            yield file


@contextlib.contextmanager
def _show_progress(file: IO[bytes] | None) -> Iterator[Any]:
    """Shows a progress bar while a file is read, unless the output is on the terminal; yields its update function."""
    if file is None or not file.seekable() or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("classifying", total=os.fstat(file.fileno()).st_size)
        yield lambda: bar.update(task, completed=file.tell())


def make_writer(form: str, out: TextIO, columns: Sequence[str] = TEXT_COLUMNS) -> Callable[[Sequence[Outcome]], None]:
    """Returns a function that prints rows; its first call also prints the headings.

    Args:
        form: "table", "jsonl" or "csv".
        out: stream to print to.
        columns: text columns of the model; the first is printed.
    """
    match form:
        case "table":
            return _TableWriter(out).write
        case "jsonl":
            return _JsonWriter(out, columns).write
        case _:
            return _CsvWriter(out, columns).write


def _to_json_dict(outcome: Outcome, columns: Sequence[str]) -> dict[str, Any]:
    if isinstance(outcome, BadRow):
        return {"row": outcome.number, "error": outcome.reason}
    row, answer = outcome
    texts = split_into_columns(columns, [(row.item.title, row.item.description)])
    return {"row": row.number, "id": row.id, columns[0]: texts[columns[0]][0]} | vars(answer)


class _JsonWriter:
    def __init__(self, out: TextIO, columns: Sequence[str]):
        self._out = out
        self._columns = columns

    def write(self, rows: Sequence[Outcome]) -> None:
        for outcome in rows:
            self._out.write(json.dumps(_to_json_dict(outcome, self._columns), ensure_ascii=False) + "\n")
        self._out.flush()


def _class_names(rows: Sequence[Outcome]) -> Sequence[str]:
    """Returns the model's classes as the first answer has them; those of the default data set without an answer."""
    return next((list(row[1].probabilities) for row in rows if not isinstance(row, BadRow)), AG_NEWS.class_names)


class _CsvWriter:
    """Writes CSV with fixed columns, so that files can be joined by row or id; class names are columns."""

    def __init__(self, out: TextIO, columns: Sequence[str]):
        self._out = out
        self._columns = columns
        self._writer: csv.DictWriter | None = None

    def write(self, rows: Sequence[Outcome]) -> None:
        if self._writer is None:
            text, classes = self._columns[0], _class_names(rows)
            names = ["row", "id", text, "label", "probability", *classes, "model_version", "error"]
            self._writer = csv.DictWriter(self._out, names, extrasaction="ignore", lineterminator="\n")
            self._writer.writeheader()
        for outcome in rows:
            line = _to_json_dict(outcome, self._columns)
            with exact_output():
                self._writer.writerow(line | line.get("probabilities", {}))
        self._out.flush()


class _TableWriter:
    """Prints rows immediately: column widths depend on the terminal, not on later rows."""

    def __init__(self, out: TextIO):
        self._console = make_console(120, out)
        self._begun = False

    def write(self, rows: Sequence[Outcome]) -> None:
        table = make_table(expand=True, show_header=not self._begun)
        table.add_column("row", justify="right", width=6)
        table.add_column("class", width=max(map(cell_len, _class_names(rows))), no_wrap=True)
        table.add_column("probability", justify="right", width=11)
        table.add_column("version", justify="right", width=10)
        table.add_column("text", ratio=1, no_wrap=True, overflow="ellipsis")
        for outcome in rows:
            if isinstance(outcome, BadRow):
                table.add_row(str(outcome.number), Text("bad row", "red"), "", "", Text(outcome.reason, "red"))
            else:
                row, answer = outcome
                text = " · ".join(filter(None, (row.item.title, row.item.description)))
                table.add_row(
                    str(row.number),
                    Text(answer.label, "bold"),
                    f"{answer.probability:.1%}",
                    str(answer.model_version),
                    Text(strip_control_characters(text, " ")),
                )
        self._console.print(table)
        self._begun = True
