"""From request logs to rows: when, what was answered, how surely, how long the text and how many words unknown."""

import math
import os
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
from schema.errors import DataError
from schema.features import CLASS_NAMES, LABEL, TEXT_LENGTH
from schema.paths import list_files
from serving.prediction_logs import LoggedText, logged_texts, read_log

TIME = "time"
_REQUESTS = ("predict_log", "classify_log")
# The end of the year 9999: no calendar here goes on.
_END_OF_TIME = 253_402_300_800


@dataclass(frozen=True)
class Record:
    """A logged request to one version of a model. `time` is POSIX seconds."""

    time: int
    version: int
    sampling_rate: float
    texts: Sequence[LoggedText]


@dataclass(frozen=True)
class Records:
    """What the files hold of a model; `skipped` counts the rest by reason."""

    used: Sequence[Record]
    skipped: Counter[str]

    def newest_version(self) -> int:
        """The version that answered last."""
        return max(self.used, key=lambda record: record.time).version


def log_files(paths: Sequence[Path]) -> list[Path]:
    """The files, with those in a directory in its place.

    Raises:
        DataError: there are none.
    """
    files: list[Path] = []
    for path in paths:
        files += map(Path, list_files(str(path), "*.tfrecord*")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"no logs: {', '.join(map(str, paths))} holds no *.tfrecord file")
    return files


def read_records(files: Sequence[Path], model: str) -> Records:
    """Reads logs in TensorFlow Serving's form.

    Args:
        files: of TFRecords of PredictionLog.
        model: name of the model; other models' records are left out.

    Raises:
        DataError: a file cannot be read, or there is nothing of the model.
    """
    used: list[Record] = []
    skipped: Counter[str] = Counter()
    for path in files:
        try:
            # Opened here as well: what TensorFlow says of a file that may not be read is for its own developers.
            with open(path, "rb") as opened:
                written = int(os.fstat(opened.fileno()).st_mtime)
            file = read_log(path)
        except (OSError, tf.errors.OpError) as error:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise DataError(f"{path}: {reason}; name the files of the request log") from error
        skipped["file ends within a record"] += file.torn
        for log in file.logs:
            outcome = _record(log, model, written)
            if isinstance(outcome, str):
                skipped[outcome] += 1
            else:
                used.append(outcome)
    if not used:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in (+skipped).items())
        raise DataError(f"no answers of model {model!r} in {len(files)} files ({reasons or 'no records'})")
    return Records(used, +skipped)


def _record(log: prediction_log_pb2.PredictionLog, model: str, written: int) -> Record | str:
    kind = log.WhichOneof("log_type")
    if kind not in _REQUESTS:
        return "no classification"
    call, metadata = getattr(log, kind), log.log_metadata
    if model not in (metadata.model_spec.name, call.request.model_spec.name):
        return "another model"
    try:
        texts = logged_texts(log)
    except Exception as error:  # Whatever a foreign record holds, the others are read.
        return f"unreadable: {type(error).__name__}"
    if not texts:
        return "no classification"
    if any(set(text.scores) != set(CLASS_NAMES) for text in texts):
        return "other classes"
    # A model that is broken answers so; nothing can be compared with it, and no report could hold it.
    if not all(math.isfinite(score) for text in texts for score in text.scores.values()):
        return "scores are no numbers"
    # The response names the version that answered; the request need not.
    version = call.response.model_spec.version.value or metadata.model_spec.version.value
    # Older servers write no time: their files have one.
    time, rate = metadata.timestamp_secs or written, metadata.sampling_config.sampling_rate
    if not 0 <= time < _END_OF_TIME:
        return "no such time"
    if not math.isfinite(rate):
        return "sampling rate is no number"
    return Record(time, version, rate, texts)


def to_rows(records: Sequence[Record], model: ExportedModel | None) -> pd.DataFrame:
    """A row a text, in the order of time.

    Args:
        records: of one version.
        model: that version, which is asked for the unknown words of texts whose record does not say; None leaves
            them open.

    Returns:
        The columns `time` (POSIX seconds), `label` (of the likeliest class), `confidence`, `text_length` and
        `unknown_share` (NaN where it is not known).
    """
    texts = [text for record in records for text in record.texts]
    scores = np.array([[text.scores[name] for name in CLASS_NAMES] for text in texts])
    rows = pd.DataFrame(
        {
            TIME: [record.time for record in records for _ in record.texts],
            LABEL: scores.argmax(axis=1),
            CONFIDENCE: confidence(scores),
            TEXT_LENGTH: [text.text_length for text in texts],
            UNKNOWN_SHARE: list(_unknown_shares(texts, model)),
        }
    )
    return rows.sort_values(TIME, kind="stable", ignore_index=True)


def confidence(scores: np.ndarray) -> np.ndarray:
    """The likeliest class's probability, float64 [texts], of scores [texts, classes], in thousandths.

    A text in a batch and the same text alone differ in the last digits, which for a test of ranks is a difference.
    """
    return scores.max(axis=1).round(3)


def _unknown_shares(texts: Sequence[LoggedText], model: ExportedModel | None) -> Iterator[float]:
    asked = [text.text for text in texts if text.tokens is None and text.text is not None] if model else []
    counted: Iterator[tuple[int, int]] = iter(())
    if asked:
        assert model is not None
        tokens, unknown = model.unknown_words(Texts(*map(list, zip(*asked, strict=True))))
        counted = iter(list(zip(tokens.tolist(), unknown.tolist(), strict=True)))
    for text in texts:
        if text.tokens is not None and text.unknown_tokens is not None:
            yield text.unknown_tokens / max(text.tokens, 1)
        elif model is not None and text.text is not None and text.tokens is None:
            tokens_of_text, unknown_of_text = next(counted)
            yield unknown_of_text / max(tokens_of_text, 1)
        else:
            yield float("nan")
