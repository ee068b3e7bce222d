"""Tests TFX's InfraValidator with a substitute for the container, which needs Docker: a scripted server, or none."""

import os

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2
from tfx.components.infra_validator import error_types, executor
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.proto import infra_validator_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.infra_validator.container import ContainerExecutor
from components.manifest import record_files
from schema.errors import NotMeasuredError


class Container:
    """Replaces the runner of TensorFlow Serving; raises `failure` on start."""

    def __init__(self, address, failure=None):
        self.address, self.failure = address, failure

    def Start(self):
        if self.failure:
            raise self.failure

    def WaitUntilRunning(self, deadline):
        pass

    def GetEndpoint(self):
        return self.address

    def GetLogs(self):
        return None

    def Stop(self):
        pass


@pytest.fixture
def bless(tmp_path, server, monkeypatch):
    """Runs the executor against a container; returns the blessing's files and reason."""

    def bless(failure=None):
        monkeypatch.setattr(
            executor, "_create_model_server_runner", lambda *_, **__: Container(server.address, failure)
        )
        # The scripted server does not implement GetModelStatus.
        monkeypatch.setattr(
            "tfx.components.infra_validator.model_server_clients.base_client.BaseModelServerClient.WaitUntilModelLoaded",
            lambda *_, **__: None,
        )
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "agnews"
        for name in ("title", "description"):
            request.inputs[name].string_val.append(b"oil")
        monkeypatch.setattr(executor.request_builder, "build_requests", lambda **_: [request])
        model, examples, blessing = (
            standard_artifacts.Model(),
            standard_artifacts.Examples(),
            standard_artifacts.InfraBlessing(),
        )
        model.uri, blessing.uri = str(tmp_path / "model"), str(tmp_path / "blessing")
        for directory in (f"{model.uri}/Format-Serving", blessing.uri):
            os.makedirs(directory)
        record_files(model, "ann@here")
        spec = infra_validator_pb2.ServingSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServing(image_name="serving", tags=["latest"]),
            local_docker=infra_validator_pb2.LocalDockerConfig(),
            model_name="agnews",
        )
        validation = infra_validator_pb2.ValidationSpec(num_tries=2)
        context = BaseExecutor.Context(tmp_dir=str(tmp_path / "temporary"), unique_id="1")
        ContainerExecutor(context).Do(
            {"model": [model], "examples": [examples]},
            {"blessing": [blessing]},
            {
                "serving_spec": proto_utils.proto_to_json(spec),
                "validation_spec": proto_utils.proto_to_json(validation),
                "request_spec": proto_utils.proto_to_json(infra_validator_pb2.RequestSpec()),
            },
        )
        return os.listdir(blessing.uri), blessing.get_string_custom_property("reason")

    return bless


def test_a_model_that_answers_is_blessed(bless):
    assert bless() == (["INFRA_BLESSED"], "")


def test_a_request_that_the_model_refuses_is_a_refusal_with_a_reason(bless, server, scripted_server):
    server.script = [scripted_server.fails(grpc.StatusCode.INVALID_ARGUMENT, "no such input")] * 2
    assert bless() == (["INFRA_NOT_BLESSED"], "a request failed: INVALID_ARGUMENT: no such input")


def test_a_second_try_that_passes_is_a_blessing(bless, server, scripted_server):
    server.script = [scripted_server.fails(grpc.StatusCode.INVALID_ARGUMENT, "no such input")]
    assert bless() == (["INFRA_BLESSED"], "")


def test_a_server_that_stops_answering_is_no_refusal(bless, server, scripted_server, tmp_path):
    server.script = [scripted_server.fails(grpc.StatusCode.UNAVAILABLE, "preempted")] * 2
    with pytest.raises(NotMeasuredError, match=r"UNAVAILABLE: preempted; the model was neither blessed nor refused"):
        bless()
    assert os.listdir(tmp_path / "blessing") == []


@pytest.mark.parametrize(
    "failure", [error_types.JobAborted("exited"), error_types.DeadlineExceeded("late"), OSError("no docker")]
)
def test_a_container_that_does_not_run_is_no_refusal(bless, failure):
    with pytest.raises(NotMeasuredError, match=f"{type(failure).__name__}: {failure}"):
        bless(failure)


def test_a_server_that_cannot_load_the_model_is_a_refusal(bless):
    files, reason = bless(error_types.ValidationFailed("Model server failed to load the model."))
    assert files == ["INFRA_NOT_BLESSED"]
    assert reason.endswith("failed to load the model.")
