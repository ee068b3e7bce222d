"""Writes request logs of a simulated model, optionally with a shift at a given hour."""

import csv
from datetime import UTC, datetime

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import logging_pb2

from components.example_gen.synthetic import write_synthetic
from schema.features import CLASS_NAMES
from serving.prediction_logs import LoggedText, without_texts

START = 1_767_571_200  # 2026-01-05, midnight UTC, a Monday.
NOW = datetime(2026, 1, 12, tzinfo=UTC)
HOUR = 3600
VERSION = 3
_TEXTS_A_REQUEST = 4


class Pool:
    """Text lengths, token counts and unknown token counts of synthetic texts, by class.

    The generated place names, one per text, represent words that are not in the vocabulary.
    """

    def __init__(self, directory):
        write_synthetic(directory, train_rows=2000, test_rows=1, seed=5)
        self.texts = {label: [] for label in range(len(CLASS_NAMES))}
        with open(directory / "train.csv", newline="") as file:
            for label, title, description in csv.reader(file):
                words = f"{title} {description}".split()
                unknown = sum(word.isupper() for word in words)
                length = len(title) + len(description)
                self.texts[int(label) - 1].append((length, len(words), unknown))


def write_logs(pool, directory, *, hours, seed, texts_an_hour=60, shift=None, at=None, lasting=3):
    """Writes one log file per day.

    Args:
        shift: "classes", "vocabulary" or "lengths"; None for no shift.
        at: first hour of the shift.
        lasting: length of the shift in hours.
    """
    directory.mkdir()
    generator = np.random.default_rng(seed)
    for day in range(-(-hours // 24)):
        with tf.io.TFRecordWriter(str(directory / f"agnews-{day:02d}.tfrecord")) as writer:
            for hour in range(24 * day, min(24 * day + 24, hours)):
                shifted = shift if at is not None and at <= hour < at + lasting else None
                for log in _hour(pool, generator, hour, texts_an_hour, shifted):
                    writer.write(log.SerializeToString())


def _hour(pool, generator, hour, texts_an_hour, shift):
    count = generator.poisson(texts_an_hour)
    shares = [0.1, 0.7, 0.1, 0.1] if shift == "classes" else [0.25] * 4
    labels = generator.choice(4, count, p=shares)
    texts = [_answered(pool, generator, label, shift) for label in labels]
    for first in range(0, count, _TEXTS_A_REQUEST):
        moment = START + hour * HOUR + int(generator.integers(HOUR))
        metadata = logging_pb2.LogMetadata(timestamp_secs=moment, sampling_config={"sampling_rate": 0.1})
        metadata.model_spec.name = "agnews"
        metadata.model_spec.version.value = VERSION
        yield without_texts(metadata, texts[first : first + _TEXTS_A_REQUEST])


def _answered(pool, generator, label, shift):
    length, tokens, unknown = pool.texts[label][generator.integers(len(pool.texts[label]))]
    if shift == "lengths":
        length, tokens, unknown = 3 * length, 3 * tokens, 3 * unknown
    if shift == "vocabulary":
        unknown += int(generator.binomial(tokens - unknown, 0.3))
    # One tenth of the predictions is wrong, with lower confidence.
    right = generator.random() < 0.9
    predicted = label if right else (label + int(generator.integers(1, 4))) % 4
    confidence = 0.3 + 0.7 * generator.beta(6 if right else 2, 1.2)
    scores = dict.fromkeys(CLASS_NAMES, (1 - confidence) / 3)
    return LoggedText(scores | {CLASS_NAMES[predicted]: confidence}, length, tokens=tokens, unknown_tokens=unknown)
