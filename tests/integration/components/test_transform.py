import html

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.transform.preprocessing import clean, split_characters, standardize
from schema.model_contract import OOV_ID, RESERVED_IDS, TITLE_TOKENS, TOKEN_IDS, VOCABULARY


@pytest.fixture(scope="module")
def token_ids(transform_output):
    """Returns a function from title and description to ids without padding, by the transform graph."""
    layer = transform_output.transform_features_layer()

    def ids(title, description):
        sparse = layer({"title": tf.constant([[title]]), "description": tf.constant([[description]])})[TOKEN_IDS]
        return sparse.values.numpy().tolist()

    return ids


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Sony #39;s", "Sony's"),
        ("Sony&#39;s", "Sony's"),
        (" quot;yes quot;", ' "yes "'),
        ("&lt;b&gt;", " "),
        ("A &amp; B", "A & B"),
        ("one\\two\\", "one two "),
        ("#36;5 million", "$5 million"),
        ("10 #151; 3", "10 - 3"),
        ("<a href=x>link</a>", " link "),
        ("3 < 4 > 2", "3 < 4 > 2"),
        ("AT&T", "AT&T"),
    ],
)
def test_markup_of_the_corpus_is_removed(raw, cleaned):
    assert clean(tf.constant(raw)).numpy().decode() == cleaned


@given(st.text(alphabet='ab <>&"', max_size=30))
@settings(deadline=None)
def test_html_escaping_is_reversed(text):
    assert clean(tf.constant(html.escape(text))).numpy() == clean(tf.constant(text)).numpy()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("U.S. Oil-Price rose,\n3.5%", "us oil price rose 35"),
        ("Sony #39;s 1,000 jobs", "sony s 1000 jobs"),
        ("J.K. Rowling", "jk rowling"),
        ("the end.Then", "the end then"),
        ("Żółć 東京", "Żółć 東京"),
    ],
)
def test_words_are_split_at_punctuation(raw, words):
    assert standardize(tf.constant(raw)).numpy().decode().split() == words.split()


@pytest.mark.parametrize(("title", "description", "count"), [("oil up", "a b", 2), ("", "a b", 1), ("", "", 1)])
def test_title_tokens_counts_the_tokens_of_the_title(transform_output, title, description, count):
    raw = {"title": tf.constant([[title]]), "description": tf.constant([[description]])}
    assert transform_output.transform_features_layer()(raw)[TITLE_TOKENS].numpy().tolist() == [count]


def test_ids_equal_those_of_keras_text_vectorization(rows, transform_output):
    import keras

    words = [word.decode() for word in transform_output.vocabulary_by_name(VOCABULARY)]
    keras_layer = keras.layers.TextVectorization(
        vocabulary=words, output_mode="int", ragged=True, standardize=standardize
    )
    texts = [f"{row['title']} {row['description']}" for row in rows]
    raw = {name: tf.constant([[row[name]] for row in rows]) for name in ("title", "description")}
    ours = tf.RaggedTensor.from_sparse(transform_output.transform_features_layer()(raw)[TOKEN_IDS]).to_list()
    for row, ids, expected in zip(rows, ours, keras_layer(tf.constant(texts)).to_list(), strict=True):
        assert ids == (expected[:20] or [OOV_ID]), row


def test_the_vocabulary_has_the_words_that_keras_would_choose(rows, transform_output):
    import keras

    layer = keras.layers.TextVectorization(max_tokens=250, standardize=standardize)
    texts = [f"{row['title']} {row['description']}" for row in rows]
    layer.adapt(tf.constant(texts))
    ours = {word.decode() for word in transform_output.vocabulary_by_name(VOCABULARY)}
    theirs = set(layer.get_vocabulary()[RESERVED_IDS:])
    # Words with the lowest frequency may be chosen differently, so only their frequency must agree.
    counts = {}
    for word in tf.strings.split(standardize(tf.constant(texts))).flat_values.numpy():
        counts[word.decode()] = counts.get(word.decode(), 0) + 1
    edge = min(counts[word] for word in theirs)
    assert len(ours) == len(theirs) == 250 - RESERVED_IDS
    assert all(counts[word] == edge for word in ours ^ theirs)


def test_an_empty_text_becomes_one_unknown_word(token_ids):
    assert token_ids("", "") == [OOV_ID]
    assert token_ids(" \\ ", " - . ") == [OOV_ID]


def test_unknown_words_have_the_unknown_id(token_ids):
    assert token_ids("zzzzunknown", "") == [OOV_ID]


def test_long_texts_are_truncated(token_ids):
    assert len(token_ids("word " * 500, "")) == 20


@given(st.text(), st.text())
@settings(deadline=None, max_examples=200)
def test_any_text_gives_ids_without_an_error(token_ids, title, description):
    ids = token_ids(title.encode("utf-8", "surrogatepass"), description.encode("utf-8", "surrogatepass"))
    assert 1 <= len(ids) <= 20
    assert all(OOV_ID <= number < 250 for number in ids)


@given(st.binary())
@settings(deadline=None, max_examples=100)
def test_any_bytes_give_ids_without_an_error(token_ids, text):
    assert token_ids(text, text)


def test_scripts_without_blanks_are_split_into_characters():
    texts = [text.decode() for text in split_characters(tf.constant(["足球 won, かな", "мяч كرة"])).numpy()]
    assert [text.split() for text in texts] == [["足", "球", "won,", "か", "な"], ["мяч", "كرة"]]
