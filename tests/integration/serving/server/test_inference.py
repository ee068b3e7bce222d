"""Tests requests that TensorFlow Serving leaves to the graph, or rejects with codes of its own."""

import threading
import time
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.support.model_servers import text_request

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def predict(served, signature="", timeout=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "cases", signature
    for name, value in inputs.items():
        proto = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(proto)
    return served.predictions.Predict(request, timeout=timeout).outputs


def code_of(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **named)
    return caught.value.code().name


def examples_request(kind, signature, *values):
    request = kind()
    request.model_spec.name, request.model_spec.signature_name = "cases", signature
    add_examples(request.input, values)
    return request


def add_examples(given, values):
    for value in values:
        given.example_list.examples.add().features.feature["x"].float_list.value.append(value)


@pytest.mark.parametrize("signature", ["serving_default", "scalar"])
@pytest.mark.parametrize("value", [[1.0, 2.0, 5.0], [[1.0], [2.0]], 3.0])
def test_the_shape_of_a_tensor_is_left_to_the_graph(served, signature, value):
    y = tf.make_ndarray(predict(served, signature, x=np.array(value, np.float32))["y"])
    np.testing.assert_array_equal(y, np.array(value, np.float32) / 2 + 2)


def test_classify_and_regress_accept_signatures_of_tensorflow_2(served):
    regressed = served.predictions.Regress(examples_request(regression_pb2.RegressionRequest, "regress", 1.0, 4.0))
    assert [entry.value for entry in regressed.result.regressions] == [2.5, 4.0]
    classified = served.predictions.Classify(examples_request(classification_pb2.ClassificationRequest, "classify", 4))
    assert [entry.score for entry in classified.result.classifications[0].classes] == [2.0, -2.0]


def test_multi_inference_feeds_the_examples_to_each_signatures_own_input(served):
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in (("regress", REGRESS), ("classify", CLASSIFY)):
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "cases", signature
    add_examples(request.input, [2.0])
    regressed, classified = served.predictions.MultiInference(request).results
    assert regressed.regression_result.regressions[0].value == 3.0
    assert [entry.score for entry in classified.classification_result.classifications[0].classes] == [1.0, -1.0]


def test_an_input_with_a_default_can_be_left_out(served):
    assert predict(served, "scaled", x=[2.0, 3.0])["y"].float_val == [20.0, 30.0]
    assert predict(served, "scaled", x=[2.0], k=3.0)["y"].float_val == [6.0]
    assert code_of(predict, served, "scaled", k=3.0) == "INVALID_ARGUMENT"
    assert code_of(predict, served, "scaled", x=[2.0], z=3.0) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("kind", "signature"),
    [
        (kind, signature)
        for kind, names in {
            "Regress": ["two_inputs", "wrong_input", "wrong_output", "two_outputs"],
            "Classify": ["two_inputs", "wrong_input", "wrong_output", "three_outputs", "double"],
        }.items()
        for signature in names
    ],
)
def test_unsuitable_signatures_are_invalid_arguments(served, kind, signature):
    message = {"Regress": regression_pb2.RegressionRequest, "Classify": classification_pb2.ClassificationRequest}[kind]
    assert code_of(getattr(served.predictions, kind), examples_request(message, signature, 1.0)) == "INVALID_ARGUMENT"


def tensor(dtype, shape, **fields):
    proto = tensor_pb2.TensorProto(dtype=tf.as_dtype(dtype).as_datatype_enum, **fields)
    if shape is None:
        proto.tensor_shape.unknown_rank = True
    else:
        proto.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return proto


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (tensor("float32", [2], float_val=[2.0, 4.0, 6.0]), [3.0, 4.0]),
        (tensor("float32", [3], float_val=[2.0]), [3.0, 3.0, 3.0]),
        (tensor("float32", [2]), [2.0, 2.0]),
        (tensor("float32", None, float_val=[2.0]), 3.0),
        (tensor("float32", [2], tensor_content=np.array([2, 4], np.float32).tobytes()), [3.0, 4.0]),
    ],
)
def test_numbers_are_parsed_as_tensorflow_parses_them(served, proto, expected):
    assert tf.make_ndarray(predict(served, x=proto)["y"]).tolist() == expected


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (tensor("string", [2], string_val=[b"a", b"b", b"c"]), [b"a", b"b"]),
        (tensor("string", [2]), [b"", b""]),
        # The lengths as varints, then the bytes.
        (tensor("string", [3], tensor_content=b"\x01\x00\x80\x02" + b"a" + b"x" * 256), [b"a", b"", b"x" * 256]),
    ],
)
def test_strings_are_parsed_as_tensorflow_parses_them(served, proto, expected):
    assert list(predict(served, "text", text=proto)["text"].string_val) == expected


@pytest.mark.parametrize("content", [b"\x05ab", b"\xff", b"\x01\x01\x01abcd"])
def test_strings_in_an_invalid_content_are_rejected(served, content):
    proto = tensor("string", [3], tensor_content=content)
    assert code_of(predict, served, "text", text=proto) == "INVALID_ARGUMENT"


def test_half_and_complex_values_are_in_their_own_fields(served):
    values = {"half": ([1.5, -2.0], "float16"), "brain": ([0.5, 3.0], "bfloat16"), "pair": ([1 + 2j, 3j], "complex64")}
    inputs = {name: tf.make_tensor_proto(*value) for name, value in values.items()}
    outputs = predict(served, "narrow", **inputs)
    assert len(outputs["half"].half_val) == len(outputs["brain"].half_val) == 2
    assert list(outputs["pair"].scomplex_val) == [-3.0, 4.0, -9.0, 0.0]
    assert tf.make_ndarray(outputs["half"]).tolist() == [3.0, -4.0]
    assert tf.make_ndarray(outputs["brain"]).astype(float).tolist() == [1.0, 6.0]


def test_a_response_may_be_larger_than_the_largest_request(served):
    channel = grpc.insecure_channel(f"127.0.0.1:{served.server.grpc_port}", [("grpc.max_receive_message_length", -1)])
    with channel:
        stubs = SimpleNamespace(predictions=prediction_service_pb2_grpc.PredictionServiceStub(channel))
        assert len(predict(stubs, "repeat", text=["a" * (1 << 20)])["text"].string_val) == 70


def test_a_long_message_ends_with_the_mark_of_tensorflow_serving(served):
    with pytest.raises(grpc.RpcError) as caught:
        predict(served, "x" * 2000, x=1.0)
    assert len(caught.value.details()) == 1024 + len("...TRUNCATED")
    assert caught.value.details().endswith("xxx...TRUNCATED")


def test_requests_that_nobody_waits_for_free_their_threads(served):
    """Also that status and health do not wait for graphs that still run."""
    seconds = 4.0
    asked = []

    def ask():
        try:
            predict(served, "count", x=np.float32(1e9), timeout=seconds)
        except grpc.RpcError as error:
            asked.append(error.code().name)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    health = health_pb2_grpc.HealthStub(served.channel)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "cases"
    time.sleep(seconds / 4)  # All threads for inference now run graphs.
    health.Check(health_pb2.HealthCheckRequest(), timeout=seconds / 4)
    served.models.GetModelStatus(status, timeout=seconds / 4)
    for thread in threads:
        thread.join()
    assert asked == ["DEADLINE_EXCEEDED"] * 40
    served.predictions.Predict(text_request(["a"]), timeout=5)
