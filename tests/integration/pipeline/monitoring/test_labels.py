import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.monitoring.labels import ItemLabel, add_labels, read_label_file, select_items, stored_labels
from schema.data_set import AG_NEWS
from schema.errors import DataError
from schema.features import CLASS_NAMES
from schema.news_items import NewsItem
from serving.item_files import BadRow, ItemRow

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def read(tmp_path):
    """Returns a function that reads labels from a text."""

    def read(text):
        (tmp_path / "labels.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        return read_label_file(tmp_path / "labels.csv", "ann", NOW)

    return read


def test_a_label_belongs_to_an_item_or_to_its_text(read):
    [by_text, by_id], unlabelled = read(
        "title,description,item,label,when,by\n"
        "Oil,dear,,Business,2026-02-01T10:00:00+02:00,Bob\n"
        ",,0123456789abcdef,Sports,,\n"
        "Nobody,has read this,,,,\n"
    )
    assert by_text == ItemLabel(NewsItem("Oil", "dear").id, "Business", "2026-02-01T08:00:00+00:00", "Bob")
    assert by_id == ItemLabel("0123456789abcdef", "Sports", "2026-03-01T12:00:00+00:00", "ann")
    assert unlabelled == 1


def test_labels_may_have_another_separator(read):
    [label], _ = read("title;label\nOil, dear;World\n")
    assert (label.item, label.label) == (NewsItem("Oil, dear").id, "World")


def test_labels_can_be_json_lines(read):
    row = {"text": "Öl", "label": "World", "selection": "uncertain"}
    [label], _ = read(json.dumps(row))
    assert (label.item, label.label, label.selection) == (NewsItem("Öl").id, "World", "uncertain")


@pytest.mark.parametrize(
    "text",
    [
        "Betreff,Inhalt,label\nFehler,seit heute,B\n",
        '{"Betreff": "Fehler", "Inhalt": "seit heute", "label": "B"}\n',
    ],
)
def test_labels_may_have_the_text_columns_of_the_data_set(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    data_set = replace(AG_NEWS, class_names=("A", "B"), text_columns=("betreff", "inhalt"))
    [label], _ = read_label_file(tmp_path / "labels.csv", "ann", NOW, data_set)
    assert (label.item, label.label) == (NewsItem("Fehler", "seit heute").id, "B")


@pytest.mark.parametrize(
    "text",
    [
        "title,description,label\n Oil ,dear\u00a0, World \n",
        '{"title": " Oil ", "description": "dear\u00a0", "label": "World "}\n',
    ],
)
def test_blanks_around_texts_are_part_of_the_item(read, text):
    [label], _ = read(text)
    assert (label.item, label.label) == (NewsItem(" Oil ", "dear\u00a0").id, "World")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("item,label\na,Sport\n", "line 2: unknown class 'Sport'; known are World, Sports, Business, Sci/Tech"),
        ("item,label\na,World\nb\n", "line 3: 1 field, expected 2"),
        ("item,title,label\n,,World\n", "line 2: neither an item nor a text"),
        ("title,label\n  ,World\n", "line 2: neither an item nor a text"),
        ("item,label,when\na,World,yesterday\n", "line 2: Invalid isoformat string: 'yesterday'"),
        ("item,label,selection\na,World,all\n", "line 2: unknown selection 'all'"),
        ("item,label,by\na,World,x\u200b\n", "ZERO WIDTH SPACE"),
        ("text,class\na,World\n", "the first line has no column label (it is 'text, class'); expected CSV"),
        ("label\nWorld\n", "the first line has no column item or title or description or text (it is 'label')"),
        ("item,label,label\na,World,World\n", "more than one column label"),
        ('{"item": "a", "label": "World"}\n[]\n', "line 2: expected a JSON object"),
        ('{"item": \n', "line 1: invalid JSON"),
        ('{"item": "a", "label": "World", "label": "Sports"}\n', "line 1: label more than once in one object"),
        ('{"title": ["Oil"], "label": "World"}\n', "line 1: title is not a text but list"),
        ("item,label\n\udcff,World\n", "line 2: '\\udcff' is not the id of an item"),
    ],
)
def test_an_invalid_row_is_named_and_nothing_is_read(read, text, reason):
    with pytest.raises(DataError) as refused:
        read(text)
    assert reason in str(refused.value)


def test_the_last_label_of_an_item_is_valid(tmp_path):
    place = tmp_path / "new/labels.jsonl"
    assert stored_labels(place) == {}
    first, second, other = (
        ItemLabel(*fields, "2026-01-01", "ann") for fields in (("a", "World"), ("a", "Sports"), "bB")
    )
    add_labels(place, [first, other])
    add_labels(place, [second])
    assert stored_labels(place) == {"a": second, "b": other}


def test_a_damaged_file_of_labels_is_an_error_with_its_line(tmp_path):
    (tmp_path / "labels.jsonl").write_text('{"item": "a", "label": "World", "when": "", "by": "ann"}\n{"item": "b"')
    with pytest.raises(DataError, match=r"labels.jsonl:2 is not a label: Invalid JSON.*restore the file"):
        stored_labels(tmp_path / "labels.jsonl")


class Model:
    """A model that returns the given scores for the titles "0", "1", …."""

    class_names = CLASS_NAMES

    def __init__(self, *scores):
        self.scores = np.array(scores)

    def probabilities(self, texts):
        return self.scores[[int(title) for title in texts.titles]]


def rows(count):
    yield BadRow("file", 1, "empty")
    for number in range(count):
        yield ItemRow("file", number, NewsItem(str(number)), f"id {number}")
        yield ItemRow("file", number, NewsItem(str(number)), f"id {number}")


NEWEST = Model([0.9, 0.1, 0, 0], [0.5, 0.4, 0.1, 0], [0, 0, 0.7, 0.3])
BEFORE = Model([0.9, 0.1, 0, 0], [0.6, 0.4, 0, 0], [0, 0, 0.2, 0.8])


@pytest.mark.parametrize(
    ("selection", "count", "expected"),
    [
        ("uncertain", 2, [("1", "World"), ("2", "Business")]),
        ("disagreement", 2, [("2", "Business")]),
        ("random", 3, [("0", "World"), ("1", "World"), ("2", "Business")]),
    ],
)
def test_items_are_selected_once(selection, count, expected):
    chosen = select_items(rows(3), [NEWEST, BEFORE], selection, count)
    found = [(one.item.title, one.predicted) for one in chosen]
    assert (sorted(found) if selection == "random" else found) == expected
    assert {one.selection for one in chosen} == {selection}
    assert all(one.id == f"id {one.item.title}" for one in chosen)


def test_a_random_selection_has_the_wanted_number_of_items():
    assert len(select_items(rows(3), [NEWEST], "random", 2)) == 2


def test_files_without_a_usable_row_are_an_error():
    with pytest.raises(DataError, match="no usable row"):
        select_items(rows(0), [NEWEST], "uncertain", 1)


def test_every_class_can_be_a_label(read):
    labels, _ = read("item,label\n" + "".join(f"{name},{name}\n" for name in CLASS_NAMES))
    assert [label.label for label in labels] == list(CLASS_NAMES)
