"""Reads request logs into one row per text: time, predicted class, confidence, text length and unknown words."""

import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import Texts
from pipeline.monitoring.report import CONFIDENCE, UNKNOWN_SHARE
from schema.data_set import AG_NEWS, LABEL, TEXT_LENGTH, DataSet
from schema.errors import DataError
from schema.news_items import NewsItem
from schema.paths import list_files
from schema.wording import amount
from serving.item_files import BadRow
from serving.prediction_logs import LoggedText, logged_texts, read_log

TIME, ITEM = "time", "item"
_REQUESTS = ("predict_log", "classify_log")
# The end of the year 9999, the last moment that datetime can represent.
_END_OF_TIME = 253_402_300_800


@dataclass(frozen=True)
class LoggedRequest:
    """A logged request to one version of a model.

    Attributes:
        time: POSIX seconds.
        version: version that answered.
        sampling_rate: share of requests that the server logged.
        texts: texts of the request with their predictions.
    """

    time: int
    version: int
    sampling_rate: float
    texts: Sequence[LoggedText]


@dataclass(frozen=True)
class LoggedRequests:
    """A model's requests in a set of log files.

    Attributes:
        used: usable requests.
        skipped: number of the other records by reason.
    """

    used: Sequence[LoggedRequest]
    skipped: Counter[str]

    def latest_version(self) -> int:
        """Returns the version of the most recent request."""
        return max(self.used, key=lambda record: record.time).version


def log_files(paths: Sequence[Path]) -> list[Path]:
    """Lists log files, replacing each directory by the files in it.

    Raises:
        DataError: there are no files.
    """
    files: list[Path] = []
    for path in paths:
        files += map(Path, list_files(str(path), "*.tfrecord*")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"no logs: there is no *.tfrecord file in {', '.join(map(str, paths))}")
    return files


def read_log_files(files: Sequence[Path], model: str, data_set: DataSet = AG_NEWS) -> LoggedRequests:
    """Reads logs in TensorFlow Serving's format.

    Args:
        files: TFRecord files of PredictionLog.
        model: name of the model; other models' records are skipped.
        data_set: classes of the model, and its text columns; records with other classes are skipped.

    Raises:
        DataError: a file cannot be read, or no record belongs to the model.
    """
    used: list[LoggedRequest] = []
    skipped: Counter[str] = Counter()
    for path in files:
        try:
            # Opened here first because TensorFlow's error for an unreadable file is not meant for users.
            with open(path, "rb") as opened:
                written = int(os.fstat(opened.fileno()).st_mtime)
            file = read_log(path)
        except (OSError, tf.errors.OpError) as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise DataError(f"{path}: {reason}; name the files of the request log") from error
        skipped["file ends within a record"] += file.torn
        for log in file.logs:
            outcome = _record(log, model, written, data_set)
            if isinstance(outcome, str):
                skipped[outcome] += 1
            else:
                used.append(outcome)
    if not used:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in (+skipped).items())
        raise DataError(
            f"no predictions of model {model!r} in {amount(len(files), 'file')} ({reasons or 'no records'})"
        )
    return LoggedRequests(used, +skipped)


def classify_items(
    patterns: Sequence[str], columns: Sequence[str], model: ExportedModel, version: int, rows: int, now: int
) -> LoggedRequests:
    """Classifies rows of files, as if they had been requested now.

    Args:
        patterns: files, or patterns, as for `agnews batch`.
        columns: text columns of the data set.
        model: the served version.
        version: its number.
        rows: maximum number of rows; from larger files, the same random rows are taken each time.
        now: POSIX seconds.

    Raises:
        DataError: there is no such file, or no usable row in them.
    """
    from serving.batch import matching_files, read_file

    generator = random.Random(0)
    skipped: Counter[str] = Counter()
    chosen: list[NewsItem] = []
    seen = 0
    for file in matching_files(patterns):
        for row in read_file(file, columns):
            if isinstance(row, BadRow):
                skipped["bad row"] += 1
                continue
            seen += 1
            if len(chosen) < rows:
                chosen.append(row.item)
            elif (place := generator.randrange(seen)) < rows:
                chosen[place] = row.item
    if not chosen:
        raise DataError(f"no usable row in {', '.join(patterns)}; put files with texts there")
    texts = [(item.title, item.description) for item in chosen]
    scores = model.probabilities(Texts(*map(list, zip(*texts, strict=True))))
    logged = [
        LoggedText(dict(zip(model.class_names, row, strict=True)), item.text_length, text, item=item.id)
        for row, text, item in zip(scores.tolist(), texts, chosen, strict=True)
    ]
    return LoggedRequests([LoggedRequest(now, version, len(chosen) / seen, logged)], skipped)


def _record(log: prediction_log_pb2.PredictionLog, model: str, written: int, data_set: DataSet) -> LoggedRequest | str:
    """Returns the request, or the reason why it is skipped."""
    kind = log.WhichOneof("log_type")
    if kind not in _REQUESTS:
        return "not a classification"
    call, metadata = getattr(log, kind), log.log_metadata
    if model not in (metadata.model_spec.name, call.request.model_spec.name):
        return "another model"
    try:
        texts = logged_texts(log, data_set.text_columns)
    except Exception as error:  # A record of unknown content must not prevent reading the others.
        return f"unreadable: {type(error).__name__}"
    if not texts:
        return "not a classification"
    if any(set(text.scores) != set(data_set.class_names) for text in texts):
        return "other classes"
    # A broken model returns NaN; JSON cannot represent it and no statistic can use it.
    if not all(math.isfinite(score) for text in texts for score in text.scores.values()):
        return "scores are not finite"
    # The response always names the version; the request may not.
    version = call.response.model_spec.version.value or metadata.model_spec.version.value
    # Older servers write no time, so the time of the file is used.
    time, rate = metadata.timestamp_secs or written, metadata.sampling_config.sampling_rate
    if not 0 <= time < _END_OF_TIME:
        return "invalid time"
    if not math.isfinite(rate):
        return "sampling rate is not finite"
    return LoggedRequest(time, version, rate, texts)


def to_rows(
    records: Sequence[LoggedRequest],
    model: ExportedModel | None,
    class_names: tuple[str, ...] = AG_NEWS.class_names,
) -> pd.DataFrame:
    """Converts requests to a table with one row per text, ordered by time.

    Args:
        records: requests to one version.
        model: that version; it counts unknown words for records that contain texts but no counts. None leaves these
            counts unknown.
        class_names: class names in the order of the labels.

    Returns:
        The columns `time` (int, POSIX seconds), `item` (str, id of the item, None where unknown), `label` (int,
        index of the most probable class), `confidence` (float, its probability), `text_length` (int, characters) and
        `unknown_share` (float, NaN where unknown).
    """
    texts = [text for record in records for text in record.texts]
    scores = np.array([[text.scores[name] for name in class_names] for text in texts])
    rows = pd.DataFrame(
        {
            TIME: [record.time for record in records for _ in record.texts],
            ITEM: [text.item for text in texts],
            LABEL: scores.argmax(axis=1),
            CONFIDENCE: confidence(scores),
            TEXT_LENGTH: [text.text_length for text in texts],
            UNKNOWN_SHARE: list(_unknown_shares(texts, model)),
        }
    )
    return rows.sort_values(TIME, kind="stable", ignore_index=True)


def confidence(scores: np.ndarray) -> np.ndarray:
    """Returns the highest probability of each text, rounded to three decimals.

    The last digits of a text's probability depend on the batch it is in, and a test of ranks would see a difference.

    Args:
        scores: float64 [texts, classes].

    Returns:
        float64 [texts].
    """
    return scores.max(axis=1).round(3)


def _unknown_shares(texts: Sequence[LoggedText], model: ExportedModel | None) -> Iterator[float]:
    uncounted = [text.text for text in texts if text.tokens is None and text.text is not None] if model else []
    counted: Iterator[tuple[int, int]] = iter(())
    if uncounted:
        assert model is not None
        tokens, unknown = model.unknown_words(Texts(*map(list, zip(*uncounted, strict=True))))
        counted = iter(list(zip(tokens.tolist(), unknown.tolist(), strict=True)))
    for text in texts:
        if text.tokens is not None and text.unknown_tokens is not None:
            yield text.unknown_tokens / max(text.tokens, 1)
        elif model is not None and text.text is not None and text.tokens is None:
            tokens_of_text, unknown_of_text = next(counted)
            yield unknown_of_text / max(tokens_of_text, 1)
        else:
            yield float("nan")
