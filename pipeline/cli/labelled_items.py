"""Reads news items from a file, with their classes if the file has them."""

from pathlib import Path

from components.example_gen.readers import read_rows
from components.example_gen.rows import RejectedRow
from schema.errors import DataError
from schema.features import CLASS_NAMES
from schema.news_items import NewsItem, validate
from serving.item_files import BadRow, read_items


def read_items_with_classes(path: Path) -> tuple[list[tuple[NewsItem, str | None]], list[str]]:
    """Reads a file in a format of the training data or of `agnews classify`.

    Args:
        path: the file.

    Returns:
        The items, each with its class, or None if the file has no classes; and a message for each bad row.

    Raises:
        DataError: the file does not exist or has neither format.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one with news items")
    try:
        items, bad = _labelled(path)
    except DataError:
        if path.suffix == ".parquet" or "tfrecord" in path.name:  # These formats always have classes.
            raise
        items = []
    if items:
        return items, bad
    with path.open("rb") as file:
        rows = list(read_items(file, str(path)))
    good = [(row.item, None) for row in rows if not isinstance(row, BadRow)]
    return list(good), [str(row) for row in rows if isinstance(row, BadRow)]


def _labelled(path: Path) -> tuple[list[tuple[NewsItem, str | None]], list[str]]:
    items: list[tuple[NewsItem, str | None]] = []
    bad = []
    for row in read_rows(str(path)):
        if isinstance(row, RejectedRow):
            bad.append(f"{row.file}:{row.number}: {row.reason} ({row.detail})")
            continue
        item = NewsItem(row.title, row.description)
        if rejection := validate(item):
            bad.append(f"{row.file}:{row.number}: {rejection.detail}")
        elif row.label is None:
            bad.append(f"{row.file}:{row.number}: the class {row.class_as_read!r} is unknown")
        else:
            items.append((item, CLASS_NAMES[row.label]))
    return items, bad
