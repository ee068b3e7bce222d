"""Reads CSV files row by row, and accepts any bytes in them.

The official AG News files have no header and three quoted fields: class (1 to 4), title and description. A quote within
a field is doubled (RFC 4180). Files with a header may have their columns in any order, separated by commas, semicolons,
tabs or vertical bars.
"""

from collections.abc import Callable, Iterator

from components.example_gen.row_format import CLASS_COLUMNS, Columns, RowFormat
from components.example_gen.row_format import EXPECTED as EXPECTED_COLUMNS
from components.example_gen.rows import NoRow, RawRow, RejectedRow
from schema.csv_records import BadRecord, find_separator, read_records
from schema.errors import DataError
from schema.news_items import KNOWN_FIELDS, RejectReason
from schema.text_files import TextFile
from schema.wording import amount

EXPECTED = f"CSV in UTF-8 with the columns class, title and description, or with a header that names {EXPECTED_COLUMNS}"
# The columns of a file without a header.
_OFFICIAL = ("class", "title", "description")


def read_csv(file: str, row_format: RowFormat = RowFormat()) -> Iterator[RawRow | RejectedRow | NoRow]:  # noqa: B008
    """Reads the rows of a CSV file, which is gzipped if its name ends in `.gz`.

    Args:
        file: local path.
        row_format: columns and classes.

    Yields:
        Rows and rejected rows, and `NoRow` for the header and blank lines.

    Raises:
        DataError: the file cannot be read or is not CSV, or its header lacks or repeats a column.
    """
    try:
        with open(file, "rb") as opened:
            text = TextFile(opened, file, EXPECTED)
            if text.first_line.startswith(b"{"):
                raise DataError(f"{file} is JSON; expected {EXPECTED}. Next: rename it to end in .jsonl")
            is_header = _header_test(row_format)
            separator = find_separator(
                text.first_line, lambda fields: _official(fields, row_format) is not None or is_header(fields)
            )
            yield from _rows(text, file, separator, is_header, row_format)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; replace it with a readable file") from error


def _rows(
    text: TextFile, file: str, separator: str, is_header: Callable[[list[str]], bool], row_format: RowFormat
) -> Iterator[RawRow | RejectedRow | NoRow]:
    names: list[str] = list(_OFFICIAL)
    columns = Columns("class", _OFFICIAL[1:], 1, row_format.class_names)
    began = False
    for record in read_records(text, separator):
        if isinstance(record, BadRecord):
            yield RejectedRow(file, record.number, record.reason, record.detail)
        elif not began and is_header(record.fields):
            names = _names(record.fields)
            columns = row_format.find_columns(names, file)
            yield NoRow(record.lines)
        else:
            number, lines, fields = record
            if len(fields) == 1 and not fields[0].strip():
                yield NoRow(lines)
                continue
            if not began and row_format.needs_header:
                row_format.find_columns(_names(fields), file)
            if len(fields) != len(names):
                detail = f"{amount(len(fields), 'field')}, expected {len(names)}"
                yield RejectedRow(file, number, RejectReason.WRONG_FIELD_COUNT, detail, lines)
            else:
                yield columns.to_row(file, number, dict(zip(names, fields, strict=True)), lines)
        began = True


def _official(fields: list[str], row_format: RowFormat) -> RawRow | None:
    """Returns the row of a file without a header, or None if the fields are not one."""
    if len(fields) != len(_OFFICIAL) or row_format.needs_header:
        return None
    row = Columns("class", _OFFICIAL[1:], 1, row_format.class_names).to_row(
        "", 0, dict(zip(_OFFICIAL, fields, strict=True))
    )
    return row if row.label is not None else None


def _header_test(row_format: RowFormat) -> Callable[[list[str]], bool]:
    """Returns a function that decides whether fields are column names: one is known, and none is a number."""
    known = {*CLASS_COLUMNS, *KNOWN_FIELDS} if not row_format.text_columns else set()
    known |= {name.lower() for name in (row_format.label_column, *row_format.text_columns) if name}

    def is_header(fields: list[str]) -> bool:
        names = _names(fields)
        wanted = {name.lower() for name in row_format.text_columns}
        has_known = wanted <= set(names) if wanted else bool(known & set(names))
        return has_known and not any(name.isdecimal() for name in names) and _official(fields, row_format) is None

    return is_header


def _names(fields: list[str]) -> list[str]:
    return [field.strip().lower() for field in fields]
