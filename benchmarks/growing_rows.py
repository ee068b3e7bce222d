"""Options and data of the benchmarks that run stages on growing numbers of rows."""

import csv
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from components.example_gen.sources import DataSource
from schema.features import TEST, TRAIN

TRAIN_FILES, TEST_FILE = f"{TRAIN}-*.csv", f"{TEST}.csv"
# One worker reads one file.
_FILES = 4


def growing_rows_options(sizes: Sequence[int]) -> Callable[[Callable], Callable]:
    """Adds `--rows`, passed as `sizes`, and `--to`, passed as `directory`, to a command.

    Args:
        sizes: default numbers of training rows.
    """

    def add(command: Callable) -> Callable:
        rows = click.option(
            "--rows",
            "sizes",
            type=int,
            multiple=True,
            default=sizes,
            show_default=True,
            help="Number of training rows; may be repeated.",
        )
        to = click.option(
            "--to",
            "directory",
            type=click.Path(path_type=Path),
            default=Path("docs/images"),
            show_default=True,
            help="Directory for the plots.",
        )
        return rows(to(command))

    return add


def write_repeated(source: DataSource, size: int, directory: Path) -> None:
    """Writes `size` training rows to several files, and the test rows unchanged; holds one row in memory.

    From the second pass on, the words of a description are shuffled: the same words, another text.
    """
    directory.mkdir()
    noise = random.Random(size)

    def rows(pattern: str) -> Iterator[tuple[int, str, str]]:
        from components.example_gen.readers import read_rows
        from components.example_gen.rows import RawRow

        for file in source.files(pattern):
            for row in read_rows(file):
                if isinstance(row, RawRow) and row.label is not None:
                    yield row.label + 1, row.title, row.description

    def repeated() -> Iterator[tuple[int, str, str]]:
        yield from rows(source.train_pattern)
        while True:
            for label, title, description in rows(source.train_pattern):
                words = description.split(" ")
                noise.shuffle(words)
                yield label, title, " ".join(words)

    def write(name: str, content: Iterator[tuple[int, str, str]]) -> None:
        with open(directory / name, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(content)

    training = repeated()
    for number in range(_FILES):
        write(
            TRAIN_FILES.replace("*", str(number)),
            itertools.islice(training, size * (number + 1) // _FILES - size * number // _FILES),
        )
    write(TEST_FILE, rows(source.test_pattern))
