"""`agnews classify`: classifies texts with a served model."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import click

from pipeline.cli.options import LocalPath, server_options
from schema.errors import DataError

# Rows per call: enough to keep several requests in flight, few enough to show results early.
_ROWS_A_CALL = 256
_STDIN = "-"
FORMATS = ("table", "jsonl", "csv")


@click.command(
    epilog="Example:  agnews classify 'Oil prices rise'   or   agnews classify --file items.csv --format csv"
)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    "path",
    type=LocalPath(allow_dash=True),
    help="CSV with a header (title and description, or text; optionally id) or JSON Lines, also .gz; - reads standard "
    "input.",
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

    from pipeline.cli.classified_rows import make_writer
    from serving.client import Client, ClientError
    from serving.item_files import BadRow

    bad, first_bad, done = 0, None, 0
    with Client(**client_options) as client, _opened(path) as file, _progress(file) as advance:
        rows = _rows_of_texts(texts) if file is None else _rows_of_file(file, path)
        write = make_writer(form, sys.stdout)
        for chunk in _chunks(rows):
            items = [row.item for row in chunk if not isinstance(row, BadRow)]
            try:
                answers = iter(client.classify(items, version=version, label=label))
            except ClientError as error:
                if done:
                    raise type(error)(
                        f"{error}\nThe {done} rows before {chunk[0].file}:{chunk[0].number} are done"
                    ) from error
                raise
            write([row if isinstance(row, BadRow) else (row, next(answers)) for row in chunk])
            wrong = [row for row in chunk if isinstance(row, BadRow)]
            first_bad = first_bad or next(iter(wrong), None)
            bad, done = bad + len(wrong), done + len(chunk)
            advance()
    if first_bad:
        raise DataError(f"{bad} of {done} rows could not be classified, the others are; the first is {first_bad}")


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
    from schema.news_items import NewsItem
    from serving.item_files import validate_item

    place, lines = "text", iter(texts)
    if texts == (_STDIN,):
        place = "standard input"
        # Only LF ends a line of sys.stdin.buffer; splitlines() also splits at a lone CR.
        parts = (part for line in sys.stdin.buffer for part in line.splitlines())
        lines = (part.decode("utf-8", "surrogateescape") for part in parts)
    return (validate_item(place, number, NewsItem(line)) for number, line in enumerate(lines, start=1))


def _rows_of_file(file: IO[bytes], path: Path | None) -> Iterator[Any]:
    from serving.item_files import read_items

    return read_items(file, "standard input" if str(path) == _STDIN else str(path))


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes] | None]:
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
def _progress(file: IO[bytes] | None) -> Iterator[Any]:
    """Shows a progress bar while a file is read, unless the output is on the terminal; yields its update function."""
    if file is None or not file.seekable() or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    import os

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("classifying", total=os.fstat(file.fileno()).st_size)
        yield lambda: bar.update(task, completed=file.tell())
