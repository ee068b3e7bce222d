"""Tests records in TensorFlow Serving's format, with and without texts."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import logging_pb2, prediction_log_pb2

from schema.news_items import NewsItem
from serving.prediction_logs import LoggedText, logged_texts, read_log, without_texts

NAMES = [b"World", b"Sports"]


def predict_log(texts, scores, **outputs):
    log = prediction_log_pb2.PredictionLog()
    request, response = log.predict_log.request, log.predict_log.response
    for index, name in enumerate(("title", "description")):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array([row[index] for row in texts], object), tf.string))
    outputs = {"classes": [NAMES] * len(scores), "probabilities": np.float32(scores)} | outputs
    for name, values in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
    return log


def example(title, description):
    result = tf.train.Example()
    for name, text in (("title", title), ("description", description)):
        result.features.feature[name].bytes_list.value.append(text.encode())
    return result


def classify_log(texts, scores):
    log = prediction_log_pb2.PredictionLog()
    for row, values in zip(texts, scores, strict=True):
        log.classify_log.request.input.example_list.examples.append(example(*row))
        classification = log.classify_log.response.result.classifications.add()
        for name, score in zip(NAMES, values, strict=True):
            classification.classes.add(label=name.decode(), score=score)
    return log


@pytest.mark.parametrize("make", [predict_log, classify_log])
def test_predict_and_classify_records_have_the_same_texts_and_scores(make):
    first, second = logged_texts(make([("Öl", "teuer"), ("", "b")], [[0.25, 0.75], [1.0, 0.0]]))
    assert first == LoggedText({"World": 0.25, "Sports": 0.75}, 7, ("Öl", "teuer"), NewsItem("Öl", "teuer").id)
    assert second.text == ("", "b")


def test_texts_of_other_columns_are_joined():
    log = predict_log([("b", "")], [[0.5, 0.5]])
    inputs = log.predict_log.request.inputs
    inputs["inhalt"].CopyFrom(inputs.pop("title"))
    inputs["anhang"].CopyFrom(tf.make_tensor_proto([b"c"]))
    [text] = logged_texts(log, ("description", "inhalt", "anhang"))
    assert (text.text, text.item) == (("", "b c"), NewsItem("", "b c").id)


def test_serialized_examples_sent_to_predict_are_read():
    log = predict_log([("a", "b")], [[0.5, 0.5]])
    del log.predict_log.request.inputs["title"], log.predict_log.request.inputs["description"]
    serialized = [example("abc", "de").SerializeToString()]
    log.predict_log.request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(serialized))
    [text] = logged_texts(log)
    assert (text.text, text.text_length) == (("abc", "de"), 5)


def test_records_of_other_signatures_are_ignored():
    log = predict_log([("a", "b")], [[0.5, 0.5]])
    log.predict_log.request.inputs["x"].CopyFrom(log.predict_log.request.inputs.pop("title"))
    assert logged_texts(log) == []
    assert logged_texts(prediction_log_pb2.PredictionLog()) == []


@pytest.mark.parametrize(
    ("scores", "outputs", "reason"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], {}, "1 texts have 2 answers"),
        ([[0.5, 0.5]], {"classes": [NAMES[:1]]}, "scores of shape"),
    ],
)
def test_a_response_that_does_not_match_its_request_is_rejected(scores, outputs, reason):
    with pytest.raises(ValueError, match=reason):
        logged_texts(predict_log([("a", "b")], scores, **outputs))


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_record_without_texts_keeps_scores_and_lengths(title, description):
    [text] = logged_texts(classify_log([(title, description)], [[0.25, 0.75]]))
    log = without_texts(logging_pb2.LogMetadata(timestamp_secs=7), [text])
    for words in filter(lambda words: len(words) > 12, (title, description)):
        assert words.encode() not in log.SerializeToString()
    assert logged_texts(log) == [LoggedText(text.scores, len(title) + len(description), item=text.item)]


def test_a_record_keeps_the_numbers_of_tokens(tmp_path):
    [text] = logged_texts(
        without_texts(logging_pb2.LogMetadata(), [LoggedText({"World": 1.0}, 9, tokens=3, unknown_tokens=1)])
    )
    assert (text.tokens, text.unknown_tokens) == (3, 1)


def test_a_truncated_file_is_read_up_to_the_last_complete_record(tmp_path):
    path = tmp_path / "log.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(3):
            writer.write(without_texts(logging_pb2.LogMetadata(timestamp_secs=number), []).SerializeToString())
    whole = path.read_bytes()
    assert not read_log(path).torn
    path.write_bytes(whole[:-3])
    read = read_log(path)
    assert read.torn
    assert [log.log_metadata.timestamp_secs for log in read.logs] == [0, 1]
