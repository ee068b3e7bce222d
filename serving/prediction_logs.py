"""Request logs in TensorFlow Serving's form: files of TFRecords, each a PredictionLog.

A log that TensorFlow Serving's own collectors write holds the requests, so the texts. The one that `serving.server`
writes holds of each text what monitoring needs and not the text: its length and the numbers of its tokens and of its
unknown ones stand as features of the tf.Examples of a ClassifyLog. Both are read here.

Source of the messages: tensorflow/serving, apis/prediction_log.proto and apis/logging.proto.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import logging_pb2, predict_pb2, prediction_log_pb2

from schema.features import DESCRIPTION, TEXT_LENGTH, TITLE
from schema.model_contract import CLASSES, PROBABILITIES, SCORES
from serving.server.tensors import to_array

TOKENS, UNKNOWN_TOKENS = "tokens", "unknown_tokens"
_EXAMPLES = "inputs"


@dataclass(frozen=True)
class LoggedText:
    """A text that was classified.

    Attributes:
        scores: of each class by its name.
        text_length: Unicode characters of title and description together.
        text: title and description; None where the log does not hold them.
        tokens: their number; None where the log does not say.
        unknown_tokens: of these the number that the vocabulary lacks; None where the log does not say.
    """

    scores: Mapping[str, float]
    text_length: int
    text: tuple[str, str] | None = None
    tokens: int | None = None
    unknown_tokens: int | None = None


@dataclass(frozen=True)
class LogFile:
    """What a file holds.

    Attributes:
        logs: its records, oldest first.
        torn: whether it ends within a record, as after a kill, or goes on with what is no record.
    """

    logs: Sequence[prediction_log_pb2.PredictionLog]
    torn: bool


def read_log(path: Path) -> LogFile:
    """Reads a file as far as it is whole; a name that ends in ".gz" is one that was compressed."""
    options = "GZIP" if path.suffix == ".gz" else ""
    logs: list[prediction_log_pb2.PredictionLog] = []
    try:
        for record in tf.data.TFRecordDataset(str(path), compression_type=options).as_numpy_iterator():
            logs.append(prediction_log_pb2.PredictionLog.FromString(record))
    except (tf.errors.DataLossError, ValueError):
        return LogFile(logs, torn=True)
    return LogFile(logs, torn=False)


def logged_texts(log: prediction_log_pb2.PredictionLog) -> list[LoggedText]:
    """The texts of a record with their answers; none when it is no classification of texts.

    Raises:
        ValueError: it is one, and its answer is missing or does not fit the request.
    """
    kind = log.WhichOneof("log_type")
    if kind == "classify_log":
        rows, scores = _of_examples(_classify_examples(log.classify_log.request)), _classifications(log.classify_log)
    elif kind == "predict_log":
        rows, scores = list(_predict_rows(log.predict_log.request)), _predicted(log.predict_log.response)
    else:
        return []
    if not rows:
        return []
    if len(rows) != len(scores):
        raise ValueError(f"{len(rows)} texts have {len(scores)} answers")
    return [LoggedText(scores=answer, **row) for row, answer in zip(rows, scores, strict=True)]


def without_texts(metadata: logging_pb2.LogMetadata, texts: Sequence[LoggedText]) -> prediction_log_pb2.PredictionLog:
    """The record that holds no text."""
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
        classification = result.classifications.add()
        for label, score in text.scores.items():
            classification.classes.add(label=label, score=score)
    return log


def _classify_examples(request) -> Sequence[tf.train.Example]:
    kind = request.input.WhichOneof("kind")
    return getattr(request.input, kind).examples if kind else ()


def _of_examples(examples: Sequence[tf.train.Example]) -> list[dict]:
    rows = []
    for example in examples:
        features = example.features.feature
        if TEXT_LENGTH in features and TITLE not in features and DESCRIPTION not in features:
            numbers = {name: _number(features[name]) for name in (TEXT_LENGTH, TOKENS, UNKNOWN_TOKENS)}
            if numbers[TEXT_LENGTH] is None:
                raise ValueError(f"{TEXT_LENGTH} is no number")
            rows.append(numbers)
        else:
            # As the signature parses it: a feature that is not there is an empty text.
            rows.append(_row(*(b"".join(features[name].bytes_list.value[:1]) for name in (TITLE, DESCRIPTION))))
    return rows


def _number(feature: tf.train.Feature) -> int | None:
    return feature.int64_list.value[0] if feature.int64_list.value else None


def _predict_rows(request: predict_pb2.PredictRequest) -> Iterator[dict]:
    inputs = request.inputs
    if TITLE in inputs and DESCRIPTION in inputs:
        columns = [to_array(inputs[name]).ravel() for name in (TITLE, DESCRIPTION)]
        for title, description in zip(*columns, strict=True):
            yield _row(title, description)
    elif _EXAMPLES in inputs and inputs[_EXAMPLES].dtype == tf.string.as_datatype_enum:
        serialized = to_array(inputs[_EXAMPLES]).ravel()
        yield from _of_examples([tf.train.Example.FromString(bytes(example)) for example in serialized])


def _row(title: bytes, description: bytes) -> dict:
    texts = tuple(bytes(text).decode("utf-8", "replace") for text in (title, description))
    return {"text": texts, "text_length": sum(map(len, texts))}


def _classifications(log: prediction_log_pb2.ClassifyLog) -> list[dict[str, float]]:
    return [{one.label: one.score for one in row.classes} for row in log.response.result.classifications]


def _predicted(response: predict_pb2.PredictResponse) -> list[dict[str, float]]:
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
