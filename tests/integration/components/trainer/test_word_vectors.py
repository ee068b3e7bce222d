import gzip
import logging

import numpy as np
import pytest

from components.trainer import word_vectors
from components.trainer.batches import TokenizedRows
from schema.errors import SettingsError
from schema.model_contract import OOV_ID, PADDING_ID


def rows_of(texts):
    offsets = np.cumsum([0, *map(len, texts)])
    ids = np.concatenate(texts).astype(np.int32)
    return TokenizedRows(ids, offsets, np.ones(len(texts), np.int64), np.zeros(len(texts), np.int64))


@pytest.fixture(scope="module")
def two_topics():
    """Returns texts in which ids 2 to 11 occur together, and ids 12 to 21."""
    generator = np.random.default_rng(1)
    return rows_of([generator.integers(2, 12, 12) + 10 * (index % 2) for index in range(400)])


def learned(rows, dimensions=4):
    return word_vectors.learn(rows, 22, dimensions, window=3, seed=1)


def test_words_with_the_same_neighbours_have_similar_vectors(two_topics):
    vectors = learned(two_topics)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    near = unit @ unit.T
    assert near[2:12, 2:12].mean() > near[2:12, 12:].mean() + 0.3


def test_the_same_rows_give_the_same_vectors(two_topics):
    np.testing.assert_array_equal(learned(two_topics), learned(two_topics))


def test_padding_is_zero_and_the_unknown_word_is_like_the_rarest(two_topics):
    vectors = learned(two_topics)
    assert (vectors[PADDING_ID] == 0).all()
    np.testing.assert_allclose(vectors[OOV_ID], vectors[2:].mean(axis=0), atol=1e-6)


def test_the_rarer_a_word_the_longer_its_vector():
    common, rare = [2, 3, 4], [2, 3, 5]
    vectors = word_vectors.learn(rows_of([common] * 9 + [rare]), 6, 3, window=2, seed=1)
    lengths = np.linalg.norm(vectors, axis=1)
    inverse_document_frequency = {word: np.log(11 / (1 + texts)) + 1 for word, texts in ((2, 10), (4, 9), (5, 1))}
    for word in (4, 5):
        ratio = inverse_document_frequency[word] / inverse_document_frequency[2]
        assert lengths[word] / lengths[2] == pytest.approx(ratio, rel=1e-4)


def test_a_word_without_neighbours_has_no_vector():
    assert (word_vectors.learn(rows_of([[2, 3], [4]]), 5, 2, window=2, seed=1)[4] == 0).all()


def test_words_of_different_texts_do_not_co_occur():
    counts = word_vectors._co_occurrences(rows_of([[2, 3], [4, 5, 6]]), 7, window=2).toarray()
    assert counts[3, 4] == counts[2, 5] == 0
    assert counts[2, 3] == counts[3, 2] == 1.0
    assert counts[4, 6] == 0.5


def test_more_dimensions_than_words_are_filled_with_zeros():
    vectors = word_vectors.learn(rows_of([[2, 3, 4, 2, 3]]), 5, 16, window=2, seed=1)
    assert vectors.shape == (5, 16)
    assert np.isfinite(vectors).all()


WORDS = ["oil", "goal", "vote"]
VECTORS = {"oil": [1.0, 0.0, 2.0], "vote": [0.0, 1.0, 1.0]}
TEXT = "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in VECTORS.items())


def write(path, content):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as file:
        file.write(content)
    return path


def binary():
    parts = [b"2 3\n"]
    for word, vector in VECTORS.items():
        parts += [word.encode() + b" ", np.array(vector, np.float32).tobytes(), b"\n"]
    return b"".join(parts)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", TEXT.encode()),
        ("word2vec.txt", b"2 3\n" + TEXT.encode()),
        ("word2vec.txt.gz", b"2 3\n" + TEXT.encode()),
        ("word2vec.bin", binary()),
    ],
)
def test_files_of_word2vec_and_glove_are_read(tmp_path, caplog, name, content):
    with caplog.at_level(logging.INFO, logger="components.trainer.word_vectors"):
        vectors = word_vectors.read(write(tmp_path / name, content), WORDS, 3, seed=1)
    assert vectors.shape == (5, 3)
    assert vectors[4] @ vectors[2] / np.linalg.norm(vectors[4]) / np.linalg.norm(vectors[2]) == pytest.approx(
        2 / np.sqrt(5 * 2)
    )
    assert np.abs(vectors[3]).max() > 0
    [record] = caplog.records
    assert record.fields == {"words": 3, "found": 2, "in_file": 2}


def read(path, content, words=WORDS, dimensions=3):
    return word_vectors.read(write(path, content), words, dimensions, seed=1)


def near(vectors, index, wanted):
    """Returns whether a word's vector has the direction of another vector."""
    return vectors[index] @ wanted / np.linalg.norm(vectors[index]) / np.linalg.norm(wanted) == pytest.approx(1)


@pytest.mark.parametrize(
    "word", [". . .", "at name@domain.com", ". . . . .", "to 5 or 6", "caf\xe9 \u6771\u4eac", "1 2 3", "\xa0 x"]
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_word_may_contain_blanks(tmp_path, word, place):
    with_blanks = f"{word} 0.5 0.25 1\n".encode()
    content = with_blanks + TEXT.encode() if place == "first" else TEXT.encode() + with_blanks
    assert near(read(tmp_path / "glove.txt", content), 2, VECTORS["oil"])
    vectors = read(tmp_path / "headed.txt", b"3 3\n" + content, words=[word, "oil"])
    assert near(vectors, 2, [0.5, 0.25, 1])


@pytest.mark.parametrize(
    "content",
    [TEXT.replace("\n", " \n"), TEXT.replace("\n", "\r\n"), TEXT.replace(" ", "\t"), TEXT.rstrip("\n"), TEXT + "\n"],
    ids=["blank at the end", "CRLF", "tabs", "no last line end", "empty last line"],
)
def test_other_spacings_are_read(tmp_path, content):
    assert near(read(tmp_path / "glove.txt", content.encode()), 4, VECTORS["vote"])


def test_a_gzipped_file_is_read_whatever_its_name(tmp_path):
    assert near(read(tmp_path / "glove.txt", gzip.compress(TEXT.encode())), 2, VECTORS["oil"])


def test_the_first_vector_of_a_repeated_word_is_used(tmp_path):
    assert near(read(tmp_path / "glove.txt", (TEXT + "oil 9 9 9\n").encode()), 2, VECTORS["oil"])


MANY = b"".join(b"word%d 1 2 3\n" % number for number in range(5000))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", None, "No such file"),
        ("v.txt", b"", "v.txt: it is empty"),
        ("v.txt", b"oil one two three\n", "v.txt, line 1: expected a word and 3 finite numbers"),
        ("v.txt", TEXT.encode() + b"goal 1 2 x\n", "v.txt, line 3: expected a word and 3 finite numbers"),
        ("v.txt", TEXT.encode() + b"goal 1 2\n", "v.txt, line 3: expected a word and 3 finite numbers"),
        ("v.txt", TEXT.encode() + b"goal 1 nan 2\n", "v.txt, line 3: expected a word and 3 finite numbers"),
        ("v.txt", TEXT.encode() + b"goal 1 2 1e99\n", "v.txt, line 3: expected a word and 3 finite numbers"),
        ("v.txt", MANY + b"goal 1 2\n", "v.txt, line 5001: expected a word and 3 finite numbers"),
        ("v.txt", b"5001 3\n" + MANY, "header promises 5,001 vectors, but it has 5,000"),
        ("v.txt", b"other 1 2 3\n", "no word of the vocabulary of 3 is in it"),
        ("v.txt", b"oil 1 2\n", "its vectors have 2 elements and the network takes 3: set trainer.embedding_dim to 2"),
        ("v.txt", b"999999999 300\n", "its vectors have 300 elements"),
        ("v.txt", b"999999999 3\n" + TEXT.encode(), "header promises 999,999,999 vectors, but it has 2"),
        ("v.txt", b"2 999999999999\n" + TEXT.encode(), "its header is damaged: vectors with 999999999999 elements"),
        ("v.txt", b"2 0\n" + TEXT.encode(), "its vectors have 0 elements"),
        ("v.bin", b"999999999 3\noil " + bytes(12), "header promises 999,999,999 vectors, but it has 1"),
        ("v.bin", b"2 3\noil " + bytes(11), "header promises 2 vectors, but it has 0"),
        ("v.bin", bytes(5000), "v.bin: expected the header of a word2vec file"),
        ("v.bin", b"oil " * 5000, "v.bin: expected the header of a word2vec file"),
        ("v.bin", b"2 3\noil " + np.float32([1, np.inf, 1]).tobytes(), "v.bin, vector 1: expected a word and 3 finite"),
        ("v.gz", gzip.compress(MANY, mtime=0)[:-9], "v.gz: "),
        ("v.gz", gzip.compress(MANY, mtime=0)[:99] + b"?" * 99, "v.gz: "),
    ],
)
def test_an_unusable_file_is_reported_with_line_and_reason(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"^trainer\.word_vectors .*{message}"):
        word_vectors.read(path, WORDS, 3, seed=1)


def test_the_vectors_of_glove_come_from_the_users_cache(tmp_path, monkeypatch, recipe):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "agnews").mkdir()
    wanted = np.arange(1, 51)
    vector = " ".join(map(str, wanted))
    write(tmp_path / "agnews/glove-wiki-gigaword-50.gz", f"1 50\noil {vector}\n".encode())
    vectors = word_vectors.make(rows_of([[2]]), WORDS, recipe(word_vectors="glove", embedding_dim=50))
    assert near(vectors, 2, wanted)
