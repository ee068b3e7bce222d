"""The baselines: linear classifiers on n-grams, trained on the same rows with their usual settings."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schema.temporary import temporary_directory


@dataclass(frozen=True)
class BaselineResult:
    """The result of a baseline.

    Attributes:
        predicted: class indices, int64 [test rows].
        seconds: training time.
        bytes: size of the stored model.
    """

    predicted: np.ndarray
    seconds: float
    bytes: int


def tfidf_linear_svc(texts: Sequence[str], labels: np.ndarray, test_texts: Sequence[str]) -> BaselineResult:
    """Trains a linear support vector machine (scikit-learn) on TF-IDF of words and word pairs."""
    from sklearn.svm import LinearSVC

    return _tfidf(LinearSVC(C=0.5), texts, labels, test_texts)


def tfidf_logistic_regression(texts: Sequence[str], labels: np.ndarray, test_texts: Sequence[str]) -> BaselineResult:
    """Trains a logistic regression (scikit-learn) on TF-IDF of words and word pairs."""
    from sklearn.linear_model import LogisticRegression

    return _tfidf(LogisticRegression(C=10.0, max_iter=300), texts, labels, test_texts)


def _tfidf(classifier, texts: Sequence[str], labels: np.ndarray, test_texts: Sequence[str]) -> BaselineResult:
    import pickle

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    began = time.monotonic()
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), classifier)
    model.fit(texts, labels)
    seconds = time.monotonic() - began
    return BaselineResult(model.predict(test_texts), seconds, len(pickle.dumps(model)))


def fasttext_bigrams(texts: Sequence[str], labels: np.ndarray, test_texts: Sequence[str]) -> BaselineResult:
    """Trains fastText with word pairs (Joulin et al. 2016), with the paper's size and the best of three rates on val.

    As in the paper's data, words are in lower case and separated from punctuation.
    """
    import fasttext

    with temporary_directory() as directory:
        file, model_file = Path(directory) / "train.txt", Path(directory) / "model.bin"
        lines = (f"__label__{label} {_words(text)}\n" for text, label in zip(texts, labels, strict=True))
        file.write_text("".join(lines), encoding="utf-8")
        began = time.monotonic()
        model = fasttext.train_supervised(str(file), lr=0.25, epoch=5, wordNgrams=2, dim=10, verbose=0)
        seconds = time.monotonic() - began
        model.save_model(str(model_file))
        size = model_file.stat().st_size
    predicted, _ = model.predict([_words(text) for text in test_texts])
    return BaselineResult(np.array([int(label.removeprefix("__label__")) for [label] in predicted]), seconds, size)


def _words(text: str) -> str:
    return " ".join(re.sub(r"([^\w\s])", r" \1 ", text.lower()).split())


BASELINES: dict[str, Callable[[Sequence[str], np.ndarray, Sequence[str]], BaselineResult]] = {
    "TF-IDF(1,2) + LinearSVC": tfidf_linear_svc,
    "TF-IDF(1,2) + logistic regression": tfidf_logistic_regression,
    "fastText, bigrams": fasttext_bigrams,
}
"""The functions that train the baselines, by the name that the table shows."""
