"""Reads and stores labels that people give to items after a model has classified them.

The labels are lines of JSON in `labels.jsonl`, next to the reports of `agnews monitor`. An item is identified by
`NewsItem.id`, so that the file contains no texts. The last label of an item is valid.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import Texts
from pipeline.monitoring.archive import base_directory
from pipeline.settings import Settings
from schema.data_set import AG_NEWS, DataSet
from schema.errors import DataError, SettingsError
from schema.files import file_lock, replace_file
from schema.news_items import NewsItem
from schema.wording import amount
from serving.audit import check_name
from serving.item_files import BadRow, ItemRow, Key, ReadColumns, read_fields, text_names

Selection = Literal["random", "uncertain", "disagreement"]
"""How an item was selected for labelling. Only a random selection is like the traffic."""

SELECTIONS: tuple[Selection, ...] = get_args(Selection)
COLUMNS = ("item", "id", "title", "description", "predicted", "selection", "label")
"""Columns of a file that people fill in, as `select_items` proposes it."""

_OPTIONAL = ("when", "by", "selection")
_EXPECTED = "CSV in UTF-8 with a header that names label, and item or title, description or text, or JSON Lines"
_SHOWN = 10


@dataclass(frozen=True)
class ItemLabel:
    """A label that a person gave to an item.

    Attributes:
        item: `NewsItem.id` of the item.
        label: name of the class.
        when: time of the label, UTC, ISO 8601.
        by: person who gave it.
        selection: how the item was selected for labelling.
    """

    item: str
    label: str
    when: str
    by: str
    selection: Selection = "random"


@dataclass(frozen=True)
class ProposedItem:
    """An item that people should label: the item, the newest version's class, how it was selected, and its `id`."""

    item: NewsItem
    predicted: str
    selection: Selection
    id: Key


def labels_file(settings: Settings) -> Path:
    """Returns the path of the stored labels."""
    return base_directory(settings) / "labels.jsonl"


def stored_labels(path: Path) -> dict[str, ItemLabel]:
    """Returns the valid label of each item by its id; empty if the file does not exist.

    Raises:
        DataError: a line is not a label.
    """
    labels: dict[str, ItemLabel] = {}
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return labels
    for number, line in enumerate(lines, start=1):
        try:
            label = TypeAdapter(ItemLabel).validate_json(line)
        except ValidationError as error:
            raise DataError(f"{path}:{number} is not a label: {error.errors()[0]['msg']}; restore the file") from error
        labels[label.item] = label
    return labels


def add_labels(path: Path, labels: Sequence[ItemLabel]) -> None:
    """Appends labels; either all are stored or none, also if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path.with_suffix(".lock")):
        before = path.read_bytes() if path.exists() else b""
        lines = [f"{json.dumps(asdict(label), ensure_ascii=False)}\n" for label in labels]
        replace_file(path, before + "".join(lines).encode())


def read_label_file(path: Path, by: str, now: datetime, data_set: DataSet = AG_NEWS) -> tuple[list[ItemLabel], int]:
    """Reads labels that people wrote: CSV with a header, or JSON Lines, also gzipped.

    The columns are `label`, the name of a class, and either `item` or the text (the text columns, or `text`), and
    optionally `when` (ISO 8601), `by` and `selection`.

    Args:
        path: the file.
        by: person who gave the labels, for rows without `by`.
        now: time of the labels, for rows without `when`.
        data_set: the known classes, and the text columns.

    Returns:
        The labels, and the number of rows whose label is empty.

    Raises:
        DataError: the file cannot be read, or rows are invalid; the message lists them.
    """
    labels: list[ItemLabel] = []
    unlabelled = 0
    problems: list[str] = []
    texts = text_names(data_set.text_columns)
    columns = ReadColumns(texts, [["label"], ["item", *texts]], _OPTIONAL, _EXPECTED)
    with path.open("rb") as opened:
        for number, row in read_fields(opened, str(path), columns):
            try:
                if isinstance(row, str):
                    raise ValueError(row)
                # A model got the texts with their blanks, and an item's id counts them.
                fields = {
                    name: value if name in texts else str(value).strip()
                    for name, value in row.items()
                    if value is not None
                }
                if fields.get("label"):
                    labels.append(_to_label(fields, by, now, data_set))
                else:
                    unlabelled += 1
            except (ValueError, SettingsError) as error:
                problems.append(f"line {number}: {error}")
    if problems:
        shown = "\n  ".join([*problems[:_SHOWN], *(["…"] if len(problems) > _SHOWN else [])])
        raise DataError(f"{path}: {amount(len(problems), 'invalid row')}, so no label was added:\n  {shown}")
    return labels, unlabelled


def _to_label(fields: dict[str, str], by: str, now: datetime, data_set: DataSet) -> ItemLabel:
    if fields["label"] not in data_set.class_names:
        raise ValueError(f"unknown class {fields['label']!r:.60}; known are {', '.join(data_set.class_names)}")
    item = fields.get("item") or _id_of_text(fields, data_set.text_columns)
    if not (item.isascii() and item.isprintable()):
        raise ValueError(f"{item!r:.60} is not the id of an item")
    when = datetime.fromisoformat(fields["when"]) if fields.get("when") else now
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    selection = fields.get("selection") or "random"
    if selection not in SELECTIONS:
        raise ValueError(f"unknown selection {selection!r:.60}; known are {', '.join(SELECTIONS)}")
    name = check_name(fields["by"], "by") if fields.get("by") else by
    return ItemLabel(item, fields["label"], when.astimezone(UTC).isoformat(timespec="seconds"), name, selection)


def _id_of_text(fields: dict[str, str], columns: Sequence[str]) -> str:
    item = NewsItem.of_fields(fields, columns)
    if not item.text_length or (item.title + item.description).isspace():
        raise ValueError("neither an item nor a text")
    return item.id


def select_items(
    rows: Iterator[ItemRow | BadRow], models: Sequence[ExportedModel], selection: Selection, count: int
) -> list[ProposedItem]:
    """Selects items for labelling.

    Args:
        rows: rows of files; invalid ones are skipped.
        models: served versions, newest first; "disagreement" needs two.
        selection: "uncertain" takes the items whose two most probable classes are closest, "disagreement" those whose
            class differs between the two versions, "random" any.
        count: maximum number of items.

    Raises:
        DataError: there is no usable row.
    """
    ids = {row.item: row.id for row in rows if isinstance(row, ItemRow)}
    if not (items := list(ids)):
        raise DataError("the files contain no usable row")
    if selection == "random":
        items = random.sample(items, min(count, len(items)))
    texts = Texts([item.title for item in items], [item.description for item in items])
    scores = models[0].probabilities(texts)
    predicted = scores.argmax(axis=1)
    # The two highest of each row, in ascending order.
    highest = np.sort(scores, axis=1)[:, -2:]
    order = np.argsort(highest[:, 1] - highest[:, 0], kind="stable")
    if selection == "disagreement":
        differs = models[1].probabilities(texts).argmax(axis=1) != predicted
        order = order[differs[order]]
    chosen = [(items[row], models[0].class_names[predicted[row]]) for row in order[:count]]
    return [ProposedItem(item, answer, selection, ids[item]) for item, answer in chosen]
