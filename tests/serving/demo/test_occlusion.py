from hypothesis import given
from hypothesis import strategies as st

from schema.news_items import Classification, NewsItem
from serving.demo.occlusion import Word, influences, pieces, without, words

texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_words_of_the_title_come_before_those_of_the_description():
    item = NewsItem("Oil  rises", "again\n")
    assert words(item, 9) == [Word("title", 0, 3), Word("title", 5, 10), Word("description", 0, 5)]
    assert words(item, 2) == [Word("title", 0, 3), Word("title", 5, 10)]


def test_punctuation_is_no_part_of_a_word_unless_it_joins():
    item = NewsItem('"Oil": the board\'s 1,000 (oil-price) - !')
    assert [item.title[word.start : word.end] for word in words(item, 9)] == [
        "Oil",
        "the",
        "board's",
        "1,000",
        "oil-price",
    ]


def test_a_word_is_left_out_where_it_stands_and_nowhere_else():
    item = NewsItem("oil and oil", "oil")
    assert without(item, Word("title", 8, 11)) == NewsItem("oil and  ", "oil")
    assert without(item, Word("description", 0, 3)) == NewsItem("oil and oil", " ")


def test_influence_is_what_the_answers_class_loses_without_the_word():
    whole = Classification("A", 0.75, {"A": 0.75, "B": 0.25}, 1)
    others = [Classification("B", 0.5, {"A": 0.5, "B": 0.5}, 1), Classification("A", 1.0, {"A": 1.0, "B": 0.0}, 1)]
    assert influences(whole, others) == [0.25, -0.25]


@given(title=texts, description=texts)
def test_a_texts_pieces_make_the_text(title, description):
    item = NewsItem(title, description)
    marked = [(word, 0.5) for word in words(item, 10)]
    for field in ("title", "description"):
        of_field = [(word, influence) for word, influence in marked if word.field == field]
        cut = list(pieces(getattr(item, field), of_field))
        assert "".join(text for text, _ in cut) == getattr(item, field)
        assert sum(influence is not None for _, influence in cut) == len(of_field)
