"""Tests the gRPC API with the official stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server import config
from tests.support.model_servers import label_of, text_request

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def example(**features):
    result = tf.train.Example()
    for name, value in features.items():
        if isinstance(value, str):
            result.features.feature[name].bytes_list.value.append(value.encode())
        else:
            result.features.feature[name].float_list.value.append(value)
    return result


def error_of(call, request, **named):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, **named)
    return caught.value.code().name, caught.value.details()


def test_predict_returns_all_outputs_and_the_effective_model(served):
    response = served.predictions.Predict(text_request(["Oil prices", "", "東京 🏈"]))
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("agnews", 2, "serving_default")
    probabilities = tf.make_ndarray(response.outputs["probabilities"])
    assert probabilities.shape == (3, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert tf.make_ndarray(response.outputs["label"]).tolist() == [b"Sports"] * 3
    assert tf.make_ndarray(response.outputs["classes"])[2].tolist() == [b"World", b"Sports", b"Business", b"Sci/Tech"]


@pytest.mark.parametrize(
    ("spec", "label", "version"),
    [
        ({}, "Sports", 2),
        ({"version": 1}, "World", 1),
        ({"label": "stable"}, "World", 1),
        ({"label": "canary"}, "Sports", 2),
    ],
)
def test_a_request_selects_a_version_by_number_or_label(served, spec, label, version):
    response = served.predictions.Predict(text_request(["a"], **spec))
    assert (label_of(response), response.model_spec.version.value) == (label, version)


def test_values_are_in_the_typed_fields_of_tensorflow_serving(served):
    response = served.predictions.Predict(text_request(["a"]))
    assert len(response.outputs["probabilities"].float_val) == 4
    assert response.outputs["probabilities"].dtype == tf.float32.as_datatype_enum


def test_the_output_filter_selects_outputs(served):
    request = text_request(["a"])
    request.output_filter.append("label")
    assert list(served.predictions.Predict(request).outputs) == ["label"]


SIZES = (("title", 2), ("description", 3))


def shape(rank):
    return tf.TensorShape([1] * rank).as_proto()


def alter(change):
    request = text_request(["a"])
    change(request)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (text_request(["a"], model=""), "INVALID_ARGUMENT", "ModelSpec has no name"),
        (text_request(["a"], model="nope"), "NOT_FOUND", "Servable not found for request: Latest(nope)"),
        (text_request(["a"], model="../agnews"), "NOT_FOUND", "Latest(../agnews)"),
        (text_request(["a"], version=9), "NOT_FOUND", "Specific(agnews, 9)"),
        (text_request(["a"], label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (text_request(["a"], signature="x"), "FAILED_PRECONDITION", 'Serving signature key "x" not found'),
        (alter(lambda r: r.output_filter.append("x")), "INVALID_ARGUMENT", "alias not found in signature: x"),
        (alter(lambda r: r.output_filter.extend(["label"] * 2)), "INVALID_ARGUMENT", "duplicate output"),
        (alter(lambda r: r.inputs.pop("title")), "INVALID_ARGUMENT", "Missing but required: {title}"),
        (alter(lambda r: r.inputs["x"].CopyFrom(r.inputs["title"])), "INVALID_ARGUMENT", "Sent extra: {x}"),
        (
            alter(lambda r: r.inputs["title"].CopyFrom(tf.make_tensor_proto([1]))),
            "INVALID_ARGUMENT",
            "string but int32",
        ),
        (
            alter(lambda r: setattr(r.inputs["title"], "dtype", 95)),
            "INVALID_ARGUMENT",
            "string but unknown dtype enum (95)",
        ),
        (
            alter(lambda r: [r.inputs[n].CopyFrom(tf.make_tensor_proto(["a"] * k)) for n, k in SIZES]),
            "INVALID_ARGUMENT",
            "Incompatible shapes",
        ),
        (alter(lambda r: r.inputs["title"].tensor_shape.CopyFrom(shape(65))), "INVALID_ARGUMENT", "65 dimensions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_requests_get_tensorflow_servings_errors(served, request_, code, message):
    got, text = error_of(served.predictions.Predict, request_)
    assert (got, message in text) == (code, True), text


def test_an_expired_request_is_not_run(served):
    service = served.server._service
    with pytest.raises(Exception, match="deadline passed") as caught:
        service.answer("Predict", text_request(["a"]), deadline=0.0)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_classify_returns_classes_and_scores(served):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "agnews", "serve_examples"
    request.input.example_list.examples.extend([example(title="a", description="b"), example()])
    response = served.predictions.Classify(request)
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (2, "serve_examples")
    assert len(response.result.classifications) == 2
    likeliest = max(response.result.classifications[0].classes, key=lambda entry: entry.score)
    assert likeliest.label == "Sports"


def test_a_context_is_part_of_each_example(served):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "plain", "classify"
    request.input.example_list_with_context.context.CopyFrom(example(x=6.0))
    request.input.example_list_with_context.examples.extend([example(), example(x=2.0)])
    response = served.predictions.Classify(request)
    scores = [[entry.score for entry in row.classes] for row in response.result.classifications]
    assert scores == [[5.0, -5.0], [3.0, -3.0]]


def test_regress_returns_a_value_for_each_example(served):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "plain", "regress"
    request.input.example_list.examples.extend([example(x=1.0), example(x=4.0)])
    values = [regression.value for regression in served.predictions.Regress(request).result.regressions]
    assert values == [2.5, 4.0]


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        ("serving_default", "INVALID_ARGUMENT", "must have one input"),
        ("x", "INVALID_ARGUMENT", "No signature was found with the name: x"),
        ("classify", "INVALID_ARGUMENT", "Input is empty"),
    ],
)
def test_classify_requires_a_suitable_signature_and_examples(served, signature, code, message):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "plain", signature
    got, text = error_of(served.predictions.Classify, request)
    assert (got, message in text) == (code, True), text


def multi_request(*tasks):
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    request.input.example_list.examples.extend([example(x=1.0), example(x=4.0)])
    return request


def test_multi_inference_runs_each_task(served):
    response = served.predictions.MultiInference(multi_request(("plain", "regress", REGRESS)))
    assert [entry.value for entry in response.results[0].regression_result.regressions] == [2.5, 4.0]
    assert response.results[0].model_spec.version.value == 7


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([], "INVALID_ARGUMENT", "tasks should not be empty"),
        ([("plain", "regress", REGRESS)] * 2, "INVALID_ARGUMENT", "Duplicate evaluation"),
        ([("plain", "regress", REGRESS), ("agnews", "x", CLASSIFY)], "INVALID_ARGUMENT", "same model name"),
        ([("plain", "regress", "x")], "UNIMPLEMENTED", "Unsupported signature method_name: x"),
    ],
)
def test_multi_inference_rejects_incompatible_tasks(served, tasks, code, message):
    got, text = error_of(served.predictions.MultiInference, multi_request(*tasks))
    assert (got, message in text) == (code, True), text


def test_metadata_contains_the_signatures(served):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "agnews"
    response = served.predictions.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def) == ["serve_examples", "serving_default"]
    assert sorted(signatures.signature_def["serving_default"].inputs) == ["description", "title"]
    assert response.model_spec.version.value == 2
    request.metadata_field[:] = ["x"]
    assert error_of(served.predictions.GetModelMetadata, request)[0] == "INVALID_ARGUMENT"


def test_status_contains_the_state_of_each_version(served):
    request = get_model_status_pb2.GetModelStatusRequest()
    assert error_of(served.models.GetModelStatus, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.SetInParent()
    assert error_of(served.models.GetModelStatus, request)[0] == "NOT_FOUND"
    request.model_spec.name = "agnews"
    status = served.models.GetModelStatus(request).model_version_status
    assert [(entry.version, entry.state, entry.status.error_code) for entry in status] == [(2, 30, 0), (1, 30, 0)]
    request.model_spec.version.value = 5
    assert error_of(served.models.GetModelStatus, request) == ("NOT_FOUND", "Could not find version 5 of model agnews")


def test_a_rejected_reload_changes_nothing(served, tmp_path):
    request = model_management_pb2.ReloadConfigRequest(config=config.single_model("x", str(tmp_path / "gone")))
    assert error_of(served.models.HandleReloadConfigRequest, request)[0] == "NOT_FOUND"
    assert label_of(served.predictions.Predict(text_request(["a"]))) == "Sports"


def test_a_reload_without_a_list_of_models_is_an_invalid_argument(served):
    code, text = error_of(served.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())
    assert (code, "Only ModelConfigList is currently supported" in text) == ("INVALID_ARGUMENT", True)


def test_tensors_of_other_types_are_supported(served):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "plain", "types"
    request.inputs["count"].CopyFrom(tf.make_tensor_proto(np.array([[1, 2], [3, -(2**40)]])))
    request.inputs["flag"].CopyFrom(tf.make_tensor_proto([True, False]))
    request.inputs["raw_bytes"].CopyFrom(tf.make_tensor_proto([b"\x00\xff\x00", b""]))
    outputs = {n: tf.make_ndarray(p).tolist() for n, p in served.predictions.Predict(request).outputs.items()}
    assert outputs == {
        "total": [3, 3 - 2**40],
        "negated": [False, True],
        "raw_bytes": [b"\x00\xff\x00", b""],
        "double": [[1.0, 2.0], [3.0, -(2.0**40)]],
    }


def test_scalars_are_supported(served):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "plain"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(3.0))
    assert tf.make_ndarray(served.predictions.Predict(request).outputs["y"]) == np.float32(3.5)


def test_health_and_reflection_are_served(served):
    health = health_pb2_grpc.HealthStub(served.channel)
    for service in (
        "",
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "PredictionService",
        "ModelService",
    ):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService.Predict"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService.Nothing"),
    ]
    listed, described, method, unknown = stub.ServerReflectionInfo(iter(requests))
    assert "tensorflow.serving.ModelService" in {s.name for s in listed.list_services_response.service}
    assert described.file_descriptor_response.file_descriptor_proto
    assert method.file_descriptor_response == described.file_descriptor_response
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
