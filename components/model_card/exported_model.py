"""Runs an exported model for a card: probabilities, unknown words, and response times."""

import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.model_card.rows import Texts
from components.trainer.export import text_example
from schema.model_contract import (
    CLASSES,
    OOV_ID,
    PADDING_ID,
    PROBABILITIES,
    SERVING_DEFAULT,
    TOKEN_IDS,
    TRANSFORM_FEATURES,
)
from schema.news_items import split_into_columns
from serving.saved_model import read_text_columns

_BATCH = 256
_WARM_UP = 10
_TIMED_ANSWERS = 200
_TIMED_ROWS = 1024


@dataclass(frozen=True)
class ServingCost:
    """The cost of predictions, measured in the process that wrote the card, without a network.

    Attributes:
        load_seconds: time from the files to a model that answers, seconds.
        milliseconds: quantiles of the response time for one text, by name.
        timed_answers: number of timed responses.
        rows_per_second: throughput in batches of at most 256 texts of similar length.
    """

    load_seconds: float
    milliseconds: dict[str, float]
    timed_answers: int
    rows_per_second: float


class ExportedModel:
    """Loads a SavedModel of this pipeline.

    Args:
        directory: directory of the SavedModel.
        class_names: expected classes; None accepts any.

    Attributes:
        class_names: classes of the model, in the order of the probabilities.

    Raises:
        OSError, ValueError, tf.errors.OpError: the model cannot be loaded, or has other classes.
        KeyError: the model lacks a signature.
    """

    def __init__(self, directory: str, class_names: tuple[str, ...] | None = None):
        began = time.monotonic()
        # Keep a reference to the model, since the signatures hold none to the variables.
        self._loaded = tf.saved_model.load(directory)
        self._classify = self._loaded.signatures[SERVING_DEFAULT]
        self._transform = self._loaded.signatures[TRANSFORM_FEATURES]
        self._load_seconds = time.monotonic() - began
        self._columns = read_text_columns(directory)
        answer = self._classify(**self._inputs([("", "")]))
        self.class_names = tuple(name.decode() for name in answer[CLASSES].numpy()[0])
        if class_names is not None and self.class_names != class_names:
            raise ValueError(f"the model's classes are {list(self.class_names)}, the schema's {list(class_names)}")

    def probabilities(self, texts: Texts) -> np.ndarray:
        """Returns the probability of each class for each text: float64 [texts, classes], each row with the sum one."""
        answers = np.zeros((len(texts), len(self.class_names)))
        for rows in _batches(texts):
            answer = self._classify(**self._inputs([(texts.titles[row], texts.descriptions[row]) for row in rows]))
            answers[rows] = answer[PROBABILITIES].numpy()
        return answers / answers.sum(axis=1, keepdims=True)

    def _inputs(self, items: list[tuple[str, str]]) -> dict[str, tf.Tensor]:
        return {name: tf.constant(texts) for name, texts in split_into_columns(self._columns, items).items()}

    def unknown_words(self, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of tokens, and of out-of-vocabulary tokens, of each text: int64 [texts] each."""
        tokens, unknown = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        for rows in _batches(texts):
            examples = [text_example(texts.titles[row], texts.descriptions[row]).SerializeToString() for row in rows]
            ids = self._transform(examples=tf.constant(examples))[TOKEN_IDS].numpy()
            tokens[rows] = (ids != PADDING_ID).sum(axis=1)
            unknown[rows] = (ids == OOV_ID).sum(axis=1)
        return tokens, unknown

    def serving_cost(self, texts: Texts) -> ServingCost:
        """Times single predictions, cycling over the texts, and batches; there must be at least one text."""
        seconds = []
        for turn in range(_WARM_UP + _TIMED_ANSWERS):
            row = turn % len(texts)
            inputs = self._inputs([(texts.titles[row], texts.descriptions[row])])
            began = time.perf_counter()
            self._classify(**inputs)[PROBABILITIES].numpy()
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
    """Returns the row numbers of each batch, with texts of similar length together to reduce padding."""
    lengths = [len(title) + len(text) for title, text in zip(texts.titles, texts.descriptions, strict=True)]
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
