from hypothesis import given
from hypothesis import strategies as st

from schema.news_items import Classification
from serving.demo.explanation import Word, find_words, split_at_words, without_word, word_influences

texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_title_words_come_before_description_words():
    fields = {"title": "Oil  rises", "description": "again\n"}
    assert find_words(fields, 9) == [Word("title", 0, 3), Word("title", 5, 10), Word("description", 0, 5)]
    assert find_words(fields, 2) == [Word("title", 0, 3), Word("title", 5, 10)]


def test_words_contain_punctuation_only_between_letters():
    text = '"Oil": the board\'s 1,000 (oil-price) - !'
    assert [text[word.start : word.end] for word in find_words({"text": text}, 9)] == [
        "Oil",
        "the",
        "board's",
        "1,000",
        "oil-price",
    ]


def test_without_word_removes_one_occurrence():
    fields = {"title": "oil and oil", "description": "oil"}
    assert without_word(fields, Word("title", 8, 11)) == fields | {"title": "oil and  "}
    assert without_word(fields, Word("description", 0, 3)) == fields | {"description": " "}


def test_influence_is_the_drop_in_probability_without_the_word():
    answer = Classification("A", 0.75, {"A": 0.75, "B": 0.25}, 1)
    others = [Classification("B", 0.5, {"A": 0.5, "B": 0.5}, 1), Classification("A", 1.0, {"A": 1.0, "B": 0.0}, 1)]
    assert word_influences(answer, others) == [0.25, -0.25]


@given(title=texts, description=texts)
def test_pieces_add_up_to_the_text(title, description):
    fields = {"title": title, "description": description}
    influences = [(word, 0.5) for word in find_words(fields, 10)]
    for field, text in fields.items():
        of_field = [(word, influence) for word, influence in influences if word.field == field]
        pieces = list(split_at_words(text, of_field))
        assert "".join(piece for piece, _ in pieces) == text
        assert sum(influence is not None for _, influence in pieces) == len(of_field)
