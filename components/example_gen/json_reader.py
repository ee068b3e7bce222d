"""Reads JSON Lines files row by row: one object per line, with a class and one or several texts."""

import json
from collections.abc import Iterator

from components.example_gen.row_format import EXPECTED, RowFormat
from components.example_gen.rows import NoRow, RawRow, RejectedRow
from schema.errors import DataError
from schema.news_items import RejectReason, quote
from schema.text_files import MAX_LINE_BYTES, TextFile


def read_json_lines(file: str, row_format: RowFormat) -> Iterator[RawRow | RejectedRow | NoRow]:
    """Reads the rows of a file, which is gzipped if its name ends in `.gz`; the first object determines the columns.

    Args:
        file: local path.
        row_format: columns and classes.

    Yields:
        Rows and rejected rows, and `NoRow` for blank lines.

    Raises:
        DataError: the file cannot be read, or its first object lacks a column.
    """
    columns = None
    try:
        with open(file, "rb") as opened:
            text = TextFile(opened, file, f"JSON Lines in UTF-8, each object with {EXPECTED}")
            for number, line in enumerate(text, start=1):
                if line.isspace():
                    yield NoRow(int(bool(line.strip(b"\r\n"))))
                    continue
                values = parse_object(line)
                if isinstance(values, str):
                    yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, values)
                    continue
                if columns is None:
                    columns = row_format.find_columns(list(values), file)
                if bad := [name for name in columns.texts if not isinstance(values.get(name), str | None)]:
                    yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, f"{bad[0]} is not a text")
                else:
                    yield columns.to_row(file, number, values)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; replace it with a readable file") from error


def parse_object(line: bytes) -> dict[str, object] | str:
    """Returns the values of an object by column in lower case, or what is wrong with the line."""
    if len(line) >= MAX_LINE_BYTES:
        return f"the line has {MAX_LINE_BYTES:,} bytes or more"
    try:
        pairs = json.loads(line.decode("utf-8", "surrogateescape"), object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        return f"invalid JSON: {error}"
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return f"expected a JSON object, found {quote(line.decode('utf-8', 'replace').strip())}"
    names = [name.strip().lower() for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        return f"{', '.join(repeated)} more than once in one object"
    return dict(zip(names, (value for _, value in pairs), strict=True))
