"""A few rows in both forms of a comparison. One word of each row determines its class."""

import numpy as np
import pytest

from components.trainer.batches import TokenizedRows
from pipeline.experiments.compare.candidates import Outcome
from pipeline.experiments.compare.data import CandidateTexts, ComparisonData
from schema.features import TEST, TRAIN, VAL

CLASS_WORDS = ("vote", "goal", "market", "chip")
WORDS = [*CLASS_WORDS, "today", "again"]
ROWS = {TRAIN: 40, VAL: 8, TEST: 12}


def tokenized(count):
    """Returns rows of three tokens. The first one, the title, is the class's word."""
    labels = np.arange(count) % 4
    ids = np.stack([2 + labels, np.full(count, 6), np.full(count, 7)], axis=1)
    return TokenizedRows(ids.ravel().astype(np.int32), np.arange(0, 3 * count + 1, 3), np.ones(count, int), labels)


def texts(count):
    labels = np.arange(count) % 4
    titles = [CLASS_WORDS[label] for label in labels]
    return CandidateTexts(titles, [f"{title} today again" for title in titles], labels)


@pytest.fixture
def data():
    """40 rows of train, 8 of val and 12 of test, without a transform graph."""
    tokens = {split: tokenized(count) for split, count in ROWS.items()}
    return ComparisonData(tokens, {split: texts(count) for split, count in ROWS.items()}, WORDS, None)


@pytest.fixture
def outcome():
    """A function that makes an outcome of 100 test rows."""

    def make(right=90, name="one", **changes):
        fields = {"seed": 1, "seconds": 2.0} | changes
        return Outcome(name, correct=[row < right for row in range(100)], **fields)

    return make
