"""Prints the rows that `agnews classify` classified, as a table, JSON Lines or CSV."""

import csv
import json
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.output import exact_output, strip_control_characters
from schema.features import CLASS_NAMES
from schema.news_items import Classification
from serving.item_files import BadRow, ItemRow

Outcome = tuple[ItemRow, Classification] | BadRow
"""A row with its classification, or a bad row."""

_PLAIN_WIDTH = 120


def make_writer(form: str, out: TextIO) -> Callable[[Sequence[Outcome]], None]:
    """Returns a function that prints rows; its first call also prints the headings.

    Args:
        form: "table", "jsonl" or "csv".
        out: stream to print to.
    """
    match form:
        case "table":
            return _TableWriter(out).write
        case "jsonl":
            return _JsonWriter(out).write
        case _:
            return _CsvWriter(out).write


class _JsonWriter:
    def __init__(self, out: TextIO):
        self._out = out

    def write(self, rows: Sequence[Outcome]) -> None:
        for outcome in rows:
            if isinstance(outcome, BadRow):
                line = {"row": outcome.number, "error": outcome.reason}
            else:
                row, answer = outcome
                line = {"row": row.number, "id": row.id, "title": row.item.title} | vars(answer)
            self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._out.flush()


class _CsvWriter:
    """Writes CSV with fixed columns, so that files can be joined by row or id; class names are columns."""

    def __init__(self, out: TextIO):
        columns = ["row", "id", "title", "label", "probability", *CLASS_NAMES, "model_version", "error"]
        self._out = out
        self._writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
        self._writer.writeheader()

    def write(self, rows: Sequence[Outcome]) -> None:
        for outcome in rows:
            if isinstance(outcome, BadRow):
                line = {"row": outcome.number, "error": outcome.reason}
            else:
                row, answer = outcome
                line = {"row": row.number, "id": row.id, "title": row.item.title} | vars(answer) | answer.probabilities
            with exact_output():
                self._writer.writerow(line)
        self._out.flush()


class _TableWriter:
    """Prints rows immediately: column widths depend on the terminal, not on later rows."""

    def __init__(self, out: TextIO):
        self._console = Console(file=out, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
        self._begun = False

    def write(self, rows: Sequence[Outcome]) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim", expand=True, show_header=not self._begun)
        table.add_column("row", justify="right", width=6)
        table.add_column("class", width=max(map(len, CLASS_NAMES)), no_wrap=True)
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
