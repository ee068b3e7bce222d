import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.news_items import NewsItem, split_into_columns

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@pytest.mark.parametrize(
    ("texts", "item"),
    [
        (["a"], NewsItem("", "a")),
        (["a", "b"], NewsItem("a", "b")),
        (["a", "b", "", "c"], NewsItem("a", "b c")),
        (["", "", "c"], NewsItem("", "c")),
    ],
)
def test_the_first_of_several_texts_is_the_title(texts, item):
    assert NewsItem.of_texts(texts) == item


@given(TEXTS, TEXTS, st.integers(2, 4))
def test_texts_that_are_split_into_columns_are_joined_again(title, description, count):
    columns = split_into_columns([f"c{number}" for number in range(count)], [(title, description)])
    assert NewsItem.of_texts([texts[0] for texts in columns.values()]) == NewsItem(title, description)


def test_a_single_column_gets_title_and_description():
    items = [("a", "b"), ("", "b"), ("a", "")]
    assert split_into_columns(["text"], items) == {"text": ["a b", "b", "a"]}


@pytest.mark.parametrize(
    ("fields", "columns", "item"),
    [
        ({"title": "a", "description": "b"}, ("title", "description"), NewsItem("a", "b")),
        ({"text": "a", "description": "b"}, ("title", "description"), NewsItem("a", "b")),
        ({"betreff": "a", "inhalt": "b", "title": "c"}, ("Betreff", "Inhalt"), NewsItem("a", "b")),
        ({"text": "a"}, ("text",), NewsItem("", "a")),
        ({"title": "a", "description": "b"}, ("text",), NewsItem("", "a b")),
        ({"title": "a", "text": None}, ("x", "y", "z"), NewsItem("a", "")),
    ],
)
def test_fields_have_the_names_of_the_columns_or_known_ones(fields, columns, item):
    assert NewsItem.of_fields(fields, columns) == item
