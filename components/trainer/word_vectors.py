"""Initial word vectors: learned from the training texts, or read from a file of pretrained vectors.

Learned vectors factorise the co-occurrences of words: the truncated singular value decomposition of positive pointwise
mutual information, smoothed like word2vec's negative samples. Levy, Goldberg and Dagan 2015 (TACL 3) find it to be as
good as word2vec; it needs one pass, and its result does not depend on the number of threads.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from components.trainer import glove
from components.trainer.batches import TokenizedRows
from components.trainer.settings import Recipe
from components.trainer.shapes import GLOVE, LEARNED
from components.trainer.vector_files import read_vectors
from schema.errors import SettingsError
from schema.model_contract import OOV_ID, PADDING_ID, RESERVED_IDS

logger = logging.getLogger(__name__)

# Root mean square of a vector's elements, which fits the initial input weights of the first layer.
_SCALE = 0.3
# The exponent of word2vec, which makes rare contexts a little less surprising.
_SMOOTHING = 0.75
_POWER_ITERATIONS = 3
_TINY = 1e-9


def make(rows: TokenizedRows, words: Sequence[str], recipe: Recipe) -> np.ndarray:
    """Makes the initial word vectors of a recipe whose `word_vectors` is not "random".

    Args:
        rows: rows to learn vectors from, if they are learned.
        words: words of the vocabulary, in the order of their ids from 2 on.
        recipe: where the vectors come from.

    Returns:
        float32 [words + 2, dimensions].

    Raises:
        SettingsError: the file of word vectors does not fit, or cannot be downloaded.
    """
    dimensions = recipe.network.embedding_dim
    if recipe.word_vectors != LEARNED:
        path = glove.fetch(dimensions) if recipe.word_vectors == GLOVE else Path(recipe.word_vectors)
        return read(path, words, dimensions, seed=recipe.seed)
    began = time.monotonic()
    size, window = len(words) + RESERVED_IDS, recipe.word_vectors_window
    vectors = learn(rows, size, dimensions, window=window, seed=recipe.seed)
    seconds = round(time.monotonic() - began, 1)
    logger.info("word vectors learned", extra={"fields": {"words": len(words), "seconds": seconds}})
    return vectors


def learn(rows: TokenizedRows, vocabulary_size: int, dimensions: int, *, window: int, seed: int) -> np.ndarray:
    """Learns vectors from co-occurrences of words.

    Args:
        rows: the training texts.
        vocabulary_size: number of ids.
        dimensions: width of a vector.
        window: words on each side that count as co-occurring; nearer words have larger weights.
        seed: seed of the random projection with which the decomposition begins.

    Returns:
        float32 [vocabulary_size, dimensions]; zeros for padding. The vector of the unknown word is the mean of the
        rarest thousand words, which resemble unknown words most.
    """
    from sklearn.utils.extmath import randomized_svd

    dimensions_found = min(dimensions, vocabulary_size - 1)
    left, singular = randomized_svd(
        _positive_information(_co_occurrences(rows, vocabulary_size, window)),
        dimensions_found,
        n_iter=_POWER_ITERATIONS,
        random_state=seed,
        flip_sign=True,
    )[:2]
    vectors = np.zeros((vocabulary_size, dimensions), np.float32)
    # The square root of the singular values, as Levy et al. advise: full values would favour frequent contexts.
    np.multiply(left, np.sqrt(singular), out=vectors[:, :dimensions_found])
    # The decomposition makes the vectors of rare words short, although these often determine the class.
    length = np.maximum(np.linalg.norm(vectors, axis=1), _TINY)
    vectors *= (_rarity(rows, vocabulary_size) / length)[:, np.newaxis]
    return _with_reserved(_scaled(vectors))


def _rarity(rows: TokenizedRows, vocabulary_size: int) -> np.ndarray:
    """Returns the inverse document frequency, smoothed as in scikit-learn, float32 [vocabulary_size]."""
    ones = np.ones(len(rows.token_ids), np.int8)
    words_of_text = sparse.csr_matrix(
        (ones, rows.token_ids, rows.offsets), shape=(len(rows), vocabulary_size), copy=True
    )
    words_of_text.sum_duplicates()
    texts_with_word = np.bincount(words_of_text.indices, minlength=vocabulary_size)
    return (np.log((1 + len(rows)) / (1 + texts_with_word)) + 1).astype(np.float32)


def _co_occurrences(rows: TokenizedRows, vocabulary_size: int, window: int) -> sparse.csr_matrix:
    text_of_token = np.repeat(np.arange(len(rows)), rows.token_counts)
    counts = sparse.csr_matrix((vocabulary_size, vocabulary_size), dtype=np.float32)
    for distance in range(1, window + 1):
        first, second = rows.token_ids[:-distance], rows.token_ids[distance:]
        near = (text_of_token[:-distance] == text_of_token[distance:]) & (first > OOV_ID) & (second > OOV_ID)
        weight = np.full(near.sum(), (window - distance + 1) / window, np.float32)
        counts = counts + sparse.csr_matrix((weight, (first[near], second[near])), shape=counts.shape)
    return (counts + counts.T).tocsr()


def _positive_information(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Replaces the counts in place: with ten million pairs, a copy takes a tenth of the training's memory."""
    total = np.asarray(counts.sum(axis=1), np.float32).ravel()
    context = total**_SMOOTHING
    context /= max(context.sum(), 1.0)
    counts.data /= context[counts.indices]
    counts.data /= np.repeat(total, np.diff(counts.indptr))
    np.log(counts.data, out=counts.data)
    np.maximum(counts.data, 0, out=counts.data)
    counts.eliminate_zeros()
    return counts


def read(path: Path, words: Sequence[str], dimensions: int, *, seed: int) -> np.ndarray:
    """Reads vectors from a file in a format of `components.trainer.vector_files`.

    Args:
        path: the file.
        words: words of the vocabulary, in the order of their ids from 2 on.
        dimensions: width of the network's word vectors.
        seed: seed of the random vectors of words that the file lacks.

    Returns:
        float32 [words + 2, dimensions].

    Raises:
        SettingsError: the file cannot be read, does not fit, or contains none of the words.
    """
    vectors, in_file = read_vectors(path, words, dimensions)
    generator = np.random.default_rng(seed)
    found = [index for index, word in enumerate(words) if word in vectors]
    logger.info("word vectors read", extra={"fields": {"words": len(words), "found": len(found), "in_file": in_file}})
    if not found:
        raise SettingsError(
            f"trainer.word_vectors {path}: no word of the vocabulary of {len(words):,} is in it; "
            "its words must be lower-case and without punctuation"
        )
    table = generator.normal(size=(len(words), dimensions)).astype(np.float32)
    # Random vectors are as large as those of the file, so that neither dominates.
    known = np.stack([vectors[words[index]] for index in found])
    table *= np.sqrt((known**2).mean())
    table[found] = known
    return _with_reserved(_scaled(np.concatenate([np.zeros((RESERVED_IDS, dimensions), np.float32), table])))


def _scaled(vectors: np.ndarray) -> np.ndarray:
    size = np.sqrt((vectors**2).mean(axis=1))
    return vectors * (_SCALE / size[size > 0].mean()) if (size > 0).any() else vectors


def _with_reserved(vectors: np.ndarray) -> np.ndarray:
    vectors[PADDING_ID] = 0.0
    vectors[OOV_ID] = vectors[max(RESERVED_IDS, len(vectors) - 1000) :].mean(axis=0)
    return vectors
