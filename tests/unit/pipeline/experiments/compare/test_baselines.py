import numpy as np
import pytest

from pipeline.experiments.compare.baselines import BASELINES

CLASS_WORDS = ("ministers", "goal", "market", "software")


def rows(count):
    labels = np.arange(count) % len(CLASS_WORDS)
    return [f"the {CLASS_WORDS[label]} of day {row}\n again" for row, label in enumerate(labels)], labels


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_classes_that_one_word_separates(name):
    texts, labels = rows(400)
    unseen, expected = rows(41)
    result = BASELINES[name](texts, labels, unseen[1:])
    assert result.predicted.tolist() == expected[1:].tolist()
    assert result.seconds > 0
    assert result.bytes > 1_000


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_classifies_a_text_without_words(name):
    texts, labels = rows(40)
    assert BASELINES[name](texts, labels, ["", "\n"]).predicted.shape == (2,)
