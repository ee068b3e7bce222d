"""Reads and writes request logs in TensorFlow Serving's format: TFRecord files of PredictionLog messages.

Logs by TensorFlow Serving's own collectors contain the requests, and so the texts. Logs by `serving.server` contain no
texts. They are ClassifyLogs whose tf.Examples have the length, the number of tokens and the number of unknown tokens
of each text. This module reads both.

The messages are those of tensorflow/serving, apis/prediction_log.proto and apis/logging.proto.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import logging_pb2, predict_pb2, prediction_log_pb2

from schema.features import DESCRIPTION, TEXT_LENGTH, TITLE
from schema.model_contract import CLASSES, PROBABILITIES, SCORES
from schema.news_items import TEXT_COLUMNS, NewsItem
from serving.server.tensors import to_array

TOKENS, UNKNOWN_TOKENS = "tokens", "unknown_tokens"
ITEM = "item"
_EXAMPLES = "inputs"


@dataclass(frozen=True)
class LoggedText:
    """A classified text.

    Attributes:
        scores: score of each class by class name.
        text_length: number of Unicode characters in title and description.
        text: title and description, or None if the log does not contain them.
        item: `NewsItem.id` of the text, or None if the log does not contain it.
        tokens: number of tokens, or None if the log does not contain it.
        unknown_tokens: number of tokens that are not in the vocabulary, or None if the log does not contain it.
    """

    scores: Mapping[str, float]
    text_length: int
    text: tuple[str, str] | None = None
    item: str | None = None
    tokens: int | None = None
    unknown_tokens: int | None = None


@dataclass(frozen=True)
class LogFile:
    """Content of a log file.

    Attributes:
        logs: its records, oldest first.
        torn: whether the file ends with an incomplete record, as after a kill, or contains an invalid one.
    """

    logs: Sequence[prediction_log_pb2.PredictionLog]
    torn: bool


def read_log(path: Path) -> LogFile:
    """Reads the records of a file up to the first invalid one. A name that ends in ".gz" means gzip compression."""
    options = "GZIP" if path.suffix == ".gz" else ""
    logs: list[prediction_log_pb2.PredictionLog] = []
    try:
        for record in tf.data.TFRecordDataset(str(path), compression_type=options).as_numpy_iterator():
            logs.append(prediction_log_pb2.PredictionLog.FromString(record))
    except (tf.errors.DataLossError, ValueError):
        return LogFile(logs, torn=True)
    return LogFile(logs, torn=False)


def logged_texts(log: prediction_log_pb2.PredictionLog, columns: Sequence[str] = TEXT_COLUMNS) -> list[LoggedText]:
    """Returns the texts of a record with their scores, or an empty list if it is not a classification of texts.

    Args:
        log: the record.
        columns: text columns of the model, in order.

    Raises:
        ValueError: the response of the classification is missing or does not match the request.
    """
    kind = log.WhichOneof("log_type")
    if kind == "classify_log":
        rows, scores = (
            _rows_of_examples(_classify_examples(log.classify_log.request)),
            _classified_scores(log.classify_log),
        )
    elif kind == "predict_log":
        rows = list(_predict_rows(log.predict_log.request, columns))
        scores = _predicted_scores(log.predict_log.response)
    else:
        return []
    if not rows:
        return []
    if len(rows) != len(scores):
        raise ValueError(f"{len(rows)} texts have {len(scores)} answers")
    return [LoggedText(scores=answer, **row) for row, answer in zip(rows, scores, strict=True)]


def without_texts(metadata: logging_pb2.LogMetadata, texts: Sequence[LoggedText]) -> prediction_log_pb2.PredictionLog:
    """Creates a record without texts.

    Args:
        metadata: model, sampling rate and time of the record.
        texts: the classified texts. `LoggedText.text` is ignored.
    """
    log = prediction_log_pb2.PredictionLog(log_metadata=metadata)
    request, result = log.classify_log.request, log.classify_log.response.result
    request.model_spec.CopyFrom(metadata.model_spec)
    log.classify_log.response.model_spec.CopyFrom(metadata.model_spec)
    for text in texts:
        features = request.input.example_list.examples.add().features.feature
        numbers = {TEXT_LENGTH: text.text_length, TOKENS: text.tokens, UNKNOWN_TOKENS: text.unknown_tokens}
        for name, number in numbers.items():
            if number is not None:
                features[name].int64_list.value.append(number)
        if text.item is not None:
            features[ITEM].bytes_list.value.append(text.item.encode())
        classification = result.classifications.add()
        for label, score in text.scores.items():
            classification.classes.add(label=label, score=score)
    return log


def _classify_examples(request) -> Sequence[tf.train.Example]:
    kind = request.input.WhichOneof("kind")
    return getattr(request.input, kind).examples if kind else ()


def _rows_of_examples(examples: Sequence[tf.train.Example]) -> list[dict]:
    rows = []
    for example in examples:
        features = example.features.feature
        if TEXT_LENGTH in features and TITLE not in features and DESCRIPTION not in features:
            numbers = {name: _number(features[name]) for name in (TEXT_LENGTH, TOKENS, UNKNOWN_TOKENS)}
            if numbers[TEXT_LENGTH] is None:
                raise ValueError(f"{TEXT_LENGTH} is not a number")
            [item] = features[ITEM].bytes_list.value[:1] or [None]
            rows.append(numbers | {ITEM: None if item is None else item.decode("ascii", "replace")})
        else:
            # The signature parses a missing feature as an empty text, too.
            rows.append(_row(*(b"".join(features[name].bytes_list.value[:1]) for name in TEXT_COLUMNS)))
    return rows


def _number(feature: tf.train.Feature) -> int | None:
    return feature.int64_list.value[0] if feature.int64_list.value else None


def _predict_rows(request: predict_pb2.PredictRequest, columns: Sequence[str]) -> Iterator[dict]:
    inputs = request.inputs
    if columns and all(name in inputs for name in columns):
        for texts in zip(*(to_array(inputs[name]).ravel() for name in columns), strict=True):
            yield _row(*texts)
    elif _EXAMPLES in inputs and inputs[_EXAMPLES].dtype == tf.string.as_datatype_enum:
        serialized = to_array(inputs[_EXAMPLES]).ravel()
        yield from _rows_of_examples([tf.train.Example.FromString(bytes(example)) for example in serialized])


def _row(*texts: bytes) -> dict:
    item = NewsItem.of_texts([bytes(text).decode("utf-8", "replace") for text in texts])
    return {"text": (item.title, item.description), "text_length": item.text_length, ITEM: item.id}


def _classified_scores(log: prediction_log_pb2.ClassifyLog) -> list[dict[str, float]]:
    return [{entry.label: entry.score for entry in row.classes} for row in log.response.result.classifications]


def _predicted_scores(response: predict_pb2.PredictResponse) -> list[dict[str, float]]:
    outputs = response.outputs
    scores = next((outputs[name] for name in (PROBABILITIES, SCORES) if name in outputs), None)
    if scores is None or CLASSES not in outputs:
        return []
    names, values = to_array(outputs[CLASSES]), to_array(scores)
    if names.shape != values.shape or names.ndim != 2:
        raise ValueError(f"classes of shape {names.shape} have scores of shape {values.shape}")
    return [
        {name.decode("utf-8", "replace"): float(value) for name, value in zip(*row, strict=True)}
        for row in zip(names, values, strict=True)
    ]
