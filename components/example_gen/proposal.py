"""Looks at the files of a data set, and proposes its columns, classes and length buckets."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.example_gen.row_format import CLASS_COLUMNS, RowFormat, to_text
from schema.csv_records import SEPARATORS, CsvRecord, read_records
from schema.data_set import FEATURES, MAX_CLASSES, MIN_CLASSES, SOURCE_ID, DataSet
from schema.errors import DataError
from schema.paths import expression
from schema.text_files import TextFile, parse_object
from schema.wording import amount

MAX_ROWS = 50_000
"""Number of rows of a file that are looked at."""
_CLASS_NAMES = (*CLASS_COLUMNS, "category", "topic", "target", "kategorie", "klasse", "thema")
_ID_NAMES = ("id", "uid", "uuid", "key", "number", "nr", "nummer")
_LONGEST_CLASS = 60
_MAX_SLICES = 100
_WITHOUT_BLANKS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_BUCKETS = ("short", "medium", "long")


@dataclass(frozen=True)
class Proposal:
    """The description of a data set that its files suggest.

    Attributes:
        data_set: classes and length buckets.
        row_format: columns.
        rows: number of rows that were looked at.
        largest_share: share of the most frequent class.
        characters: whether most letters belong to scripts without blanks between words.
    """

    data_set: DataSet
    row_format: RowFormat
    rows: int
    largest_share: float
    characters: bool


def propose(
    files: Sequence[Path],
    label: str | None = None,
    texts: Sequence[str] = (),
    kept: Sequence[str] = (),
    ids: str | None = None,
) -> Proposal:
    """Reads the first rows of each file.

    Args:
        files: training files: CSV, JSON Lines or Parquet, with column names.
        label: column with the class; None to choose one.
        texts: columns with the texts; () to choose them.
        kept: columns by whose values metrics are sliced.
        ids: column with ids; None to choose one, if there is one.

    Raises:
        DataError: a file cannot be read, or no column can be the class or a text; the message has the columns.
    """
    table: dict[str, list[str]] = {}
    for file in files:
        for name, values in _read_columns(file).items():
            table.setdefault(name, []).extend(values)
    shown = ", ".join(table)
    for name in filter(None, (label, *texts, *kept, ids)):
        if name.lower() not in table:
            raise DataError(f"{files[0]} has no column {name}; it has {shown}")
    label = label.lower() if label else _choose_label(table)
    if label is None:
        raise DataError(
            f"{files[0]}: none of the columns {shown} has {MIN_CLASSES} to {MAX_CLASSES} classes with several rows "
            "each; name one with --label"
        )
    chosen = tuple(name.lower() for name in texts) or tuple(
        name for name in table if name not in (label, *map(str.lower, kept)) and _is_text(table[name])
    )
    _check_kept(files[0], kept, table)
    if ids is None:
        ids = next((name for name in _ID_NAMES if name not in (label, *chosen) and _is_id(table.get(name, ()))), "")
    if not chosen:
        raise DataError(f"{files[0]}: none of the columns {shown} has texts; name one or several with --text")
    counts = Counter(value for value in table[label] if value)
    if not MIN_CLASSES <= len(counts) <= MAX_CLASSES:
        raise DataError(
            f"{files[0]}: column {label} has {amount(len(counts), 'different value')}, expected "
            f"{MIN_CLASSES} to {MAX_CLASSES} classes; name another one with --label"
        )
    numbers = sorted(int(value) for value in counts) if all(map(_is_number, counts)) else []
    names = tuple(map(str, numbers)) or tuple(sorted(counts))
    lengths = np.array([sum(map(len, row)) for row in zip(*(table[name] for name in chosen), strict=True)])
    bounds = sorted({int(bound) for bound in np.quantile(lengths, (1 / 3, 2 / 3))} - {0})
    contiguous = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return Proposal(
        DataSet(
            names,
            _BUCKETS[: len(bounds) + 1],
            tuple(bounds),
            tuple(name.lower() for name in kept),
            id_column=ids.lower(),
        ),
        RowFormat(label, chosen, numbers[0] if contiguous else None, names),
        len(lengths),
        max(counts.values()) / counts.total(),
        _lacks_blanks("".join(text for name in chosen for text in table[name][:200])),
    )


def _check_kept(file: Path, kept: Sequence[str], table: Mapping[str, Sequence[str]]) -> None:
    for name in kept:
        if (different := len(set(table[name.lower()]))) > _MAX_SLICES:
            raise DataError(
                f"{file}: column {name} has {different} different values; a column for slices has at most {_MAX_SLICES}"
            )
        if name.lower() in (*FEATURES, SOURCE_ID) or "=" in name:
            raise DataError(f"{file}: a column {name} cannot be kept for slices; rename it in the files")


def file_pattern(files: Sequence[Path], base: str) -> str:
    """Returns the pattern that matches these files of a directory and no other ones.

    Raises:
        DataError: the files are in several directories, or other files match.
    """
    names = sorted(os.path.relpath(file, base) for file in files)
    first, last = names[0], names[-1]  # All names begin as these two do, since they are sorted.
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    start = "".join(character for character, _ in pairs)
    ends = (first[at:] for at in range(len(start), len(first) + 1))
    end = next(end for end in ends if all(name.endswith(end) for name in names))
    pattern = names[0].replace("[", "[[]") if len(names) == 1 else f"{start}*{end}".replace("[", "[[]")
    matches = re.compile(expression(pattern))
    other = [name for name in os.listdir(base) if matches.fullmatch(name) and name not in names]
    if other or any(os.sep in name for name in names):
        what = f"{other[0]} also matches {pattern}" if other else "they are in several directories"
        raise DataError(f"{', '.join(names)}: {what}; put the training files into one directory, without others")
    return pattern


def _read_columns(file: Path) -> dict[str, list[str]]:
    rows = list(_parquet_rows(file) if file.suffix == ".parquet" else _text_rows(file))
    if not rows:
        raise DataError(f"{file} has no rows")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, "") for row in rows] for name in names}


def _parquet_rows(file: Path) -> Iterator[dict[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=MAX_ROWS):
            for row in batch.to_pylist():
                yield {name.strip().lower(): to_text(value) for name, value in row.items()}
            return
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise DataError(f"{file}: not a readable Parquet file: {error}; replace it with a complete file") from error


def _text_rows(file: Path) -> Iterator[dict[str, str]]:
    try:
        with file.open("rb") as opened:
            text = TextFile(opened, str(file), "CSV with a header, or JSON Lines, in UTF-8")
            rows = _json_rows(text) if text.first_line.startswith(b"{") else _csv_rows(text, file)
            yield from (row for row, _ in zip(rows, range(MAX_ROWS), strict=False))
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; name a readable file") from error


def _json_rows(text: TextFile) -> Iterator[dict[str, str]]:
    for line in text:
        if isinstance(values := parse_object(line), dict):
            yield {name: to_text(value) for name, value in values.items()}


def _csv_rows(text: TextFile, file: Path) -> Iterator[dict[str, str]]:
    first = text.first_line.decode("utf-8", "replace")
    separator = max(SEPARATORS, key=first.count)
    names: list[str] | None = None
    for record in read_records(text, separator):
        if not isinstance(record, CsvRecord):
            continue
        if names is None:
            names = [name.strip().lower() for name in record.fields]
            if any(not name or _is_number(name) or len(name) > _LONGEST_CLASS for name in names):
                raise DataError(
                    f"{file}, line 1: expected column names, found {first[:80]!r}; add a header. Files like those of "
                    "AG News (class, title, description) need no header and no agnews init"
                )
        elif len(record.fields) == len(names):
            yield dict(zip(names, map(str.strip, record.fields), strict=True))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _choose_label(table: dict[str, list[str]]) -> str | None:
    """Returns the column that is most likely the class: by its name, otherwise the one with the fewest values."""
    values = {name: {value for value in column if value} for name, column in table.items()}
    possible = [
        name
        for name, found in values.items()
        if MIN_CLASSES <= len(found) <= min(MAX_CLASSES, len(table[name]) // 2)
        and max(map(len, found)) <= _LONGEST_CLASS
    ]
    known = [name for name in _CLASS_NAMES if name in possible]
    return known[0] if known else min(possible, key=lambda name: len(values[name]), default=None)


def _lacks_blanks(text: str) -> bool:
    """Returns whether most letters belong to scripts without blanks between words."""
    return len(_WITHOUT_BLANKS.findall(text)) > sum(map(str.isalpha, text)) / 2 > 0


def _is_id(column: Sequence[str]) -> bool:
    return bool(column) and "" not in column and len(set(column)) == len(column)


def _is_text(column: Sequence[str]) -> bool:
    """Returns whether a column has texts, rather than numbers, ids, names or categories."""
    filled = [value for value in column if value]
    if not filled or len(set(filled)) < len(column) / 4:
        return False
    spaced = sum(" " in value or not value.isascii() for value in filled)
    return spaced > len(filled) / 2 and sum(map(len, filled)) / len(filled) > 5
