"""An exported model as a card asks it: probabilities, unknown words, and how long an answer takes."""

import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.model_card.rows import Texts
from components.trainer.export import text_example
from schema.features import CLASS_NAMES
from schema.model_contract import (
    CLASSES,
    OOV_ID,
    PADDING_ID,
    PROBABILITIES,
    SERVING_DEFAULT,
    TOKEN_IDS,
    TRANSFORM_FEATURES,
)

_BATCH = 256
_WARM_UP = 10
_TIMED_ANSWERS = 200
_TIMED_ROWS = 1024


@dataclass(frozen=True)
class ServingCost:
    """What answers cost, measured in the process that wrote the card, without a network between.

    Attributes:
        load_seconds: from the files to a model that answers.
        milliseconds: quantiles of the time of one text's answer, by name.
        timed_answers: of how many answers.
        rows_per_second: in batches of at most 256 texts of like length.
    """

    load_seconds: float
    milliseconds: dict[str, float]
    timed_answers: int
    rows_per_second: float


class ExportedModel:
    """A SavedModel of this pipeline, loaded.

    Args:
        directory: of the SavedModel.

    Raises:
        OSError, ValueError, tf.errors.OpError: it cannot be loaded.
        KeyError: it lacks a signature.
    """

    def __init__(self, directory: str):
        began = time.monotonic()
        # Kept, since the signatures hold no reference to the variables.
        self._loaded = tf.saved_model.load(directory)
        self._classify = self._loaded.signatures[SERVING_DEFAULT]
        self._transform = self._loaded.signatures[TRANSFORM_FEATURES]
        self._load_seconds = time.monotonic() - began

    def probabilities(self, texts: Texts) -> np.ndarray:
        """Of each text the probability of each class: float64 [texts, classes], each row of sum one.

        Raises:
            ValueError: the model knows other classes.
        """
        answers = np.zeros((len(texts), len(CLASS_NAMES)))
        for rows in _batches(texts):
            answer = self._classify(
                title=tf.constant([texts.titles[row] for row in rows]),
                description=tf.constant([texts.descriptions[row] for row in rows]),
            )
            classes = [name.decode() for name in answer[CLASSES].numpy()[0]]
            if tuple(classes) != CLASS_NAMES:
                raise ValueError(f"the model's classes are {classes}, the schema's {list(CLASS_NAMES)}")
            answers[rows] = answer[PROBABILITIES].numpy()
        return answers / answers.sum(axis=1, keepdims=True)

    def unknown_words(self, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """Of each text the number of tokens, and of those that are out of vocabulary: int64 [texts] each."""
        tokens, unknown = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        for rows in _batches(texts):
            examples = [text_example(texts.titles[row], texts.descriptions[row]).SerializeToString() for row in rows]
            ids = self._transform(examples=tf.constant(examples))[TOKEN_IDS].numpy()
            tokens[rows] = (ids != PADDING_ID).sum(axis=1)
            unknown[rows] = (ids == OOV_ID).sum(axis=1)
        return tokens, unknown

    def serving_cost(self, texts: Texts) -> ServingCost:
        """Times single answers and batches on the texts, which are asked in turns; there must be one at least."""
        seconds = []
        for turn in range(_WARM_UP + _TIMED_ANSWERS):
            row = turn % len(texts)
            title, description = tf.constant([texts.titles[row]]), tf.constant([texts.descriptions[row]])
            began = time.perf_counter()
            self._classify(title=title, description=description)[PROBABILITIES].numpy()
            seconds.append(time.perf_counter() - began)
        timed = 1000 * np.array(seconds[_WARM_UP:])
        sample = Texts(texts.titles[:_TIMED_ROWS], texts.descriptions[:_TIMED_ROWS])
        began = time.perf_counter()
        self.probabilities(sample)
        batched = time.perf_counter() - began
        return ServingCost(
            self._load_seconds,
            {f"p{quantile}": float(np.percentile(timed, quantile)) for quantile in (50, 95, 99)},
            _TIMED_ANSWERS,
            len(sample) / batched,
        )


def _batches(texts: Texts) -> list[np.ndarray]:
    """Row numbers by batch: texts of like length together, so that little is padded."""
    lengths = [len(title) + len(text) for title, text in zip(texts.titles, texts.descriptions, strict=True)]
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
