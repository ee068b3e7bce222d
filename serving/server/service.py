"""Answers requests from gRPC and REST: selects the version, enforces the deadline and records metrics."""

import time
from collections.abc import Collection
from pathlib import Path

import grpc
import numpy as np
from google.protobuf import any_pb2, message
from tensorflow_serving.apis import get_model_metadata_pb2, model_management_pb2, model_pb2

from serving.server import config, inference
from serving.server.batching import Batcher
from serving.server.errors import deadline_exceeded_error, invalid_argument_error, request_error
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.request_log import RequestLog
from serving.server.tensors import GraphRun


class InferenceService:
    """Answers requests. It is thread-safe, and its methods raise only RequestError."""

    def __init__(
        self,
        manager: Manager,
        batcher: Batcher | None,
        metrics: Metrics,
        request_log: RequestLog,
        *,
        check_method: bool,
        log_directories: Collection[Path],
    ):
        """Stores the parts of the server.

        Args:
            manager: has the models.
            batcher: runs several requests as one, or None.
            metrics: counts the requests.
            request_log: logs the requests.
            check_method: whether to reject requests for signatures with another method name.
            log_directories: directories below which a reload may start request logs.
        """
        self.manager = manager
        self._request_log = request_log
        self._batcher = batcher
        self._metrics = metrics
        self._check_method = check_method
        self._log_directories = log_directories

    def answer(self, api: str, request: message.Message, deadline: float) -> message.Message:
        """Runs an inference request.

        Args:
            api: "Predict", "Classify", "Regress" or "MultiInference".
            request: request message of this API.
            deadline: time.monotonic() at which the request is stopped.

        Returns:
            The response message of the API.
        """
        try:
            if time.monotonic() >= deadline:
                raise deadline_exceeded_error()
            with self.manager.borrow(_spec(request)) as (version, servable):
                model = version.model
                context = inference.RequestContext(
                    model,
                    version.number,
                    servable,
                    lambda run, arrays: self._execute(run, arrays, deadline, model, api),
                    lambda count: self._metrics.count_examples(model, count),
                    self._check_method,
                )
                response = inference.APIS[api](context, request)
            self._request_log.offer(api, model, version.number, request, response)
            return response
        except Exception as error:  # A graph may raise anything.
            raise request_error(error) from error

    def record(self, model: str, api: str, entrypoint: str, code: grpc.StatusCode, started: float) -> None:
        """Counts a request by its status, and the duration of a successful one.

        Args:
            model: name of the model in the request.
            api: name of the API, a label of the metrics.
            entrypoint: "GRPC" or "REST", a label of the metrics.
            code: status of the response.
            started: time.monotonic() at which the request arrived.
        """
        if not self.manager.has_model(model):
            model = "unknown"  # Clients must not create time series.
        self._metrics.requests.labels(model, code.name).inc()
        if code == grpc.StatusCode.OK:
            self._metrics.request_latency.labels(model, api, entrypoint).observe((time.monotonic() - started) * 1e6)

    def metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest):
        """Returns the signatures of a version."""
        if not request.HasField("model_spec"):
            raise invalid_argument_error("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid_argument_error("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid_argument_error(f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.manager.borrow(request.model_spec) as (version, servable):
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
            response.model_spec.name = version.model
            response.model_spec.version.value = version.number
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response.metadata["signature_def"].CopyFrom(packed)
        return response

    def status(self, request):
        """Returns the state of one or all versions of a model."""
        if not request.HasField("model_spec"):
            raise invalid_argument_error("Missing ModelSpec")
        return self.manager.status(request.model_spec)

    def reload(self, request: model_management_pb2.ReloadConfigRequest, deadline: float):
        """Replaces the whole configuration and waits until each of its models serves a version."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument_error(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        allowed = (*self._log_directories, *config.log_directories(self.manager.config).values())
        try:
            # Anyone who can send requests can send a configuration, and the log creates and deletes files.
            config.check_log_directories(request.config, allowed)
        except (OSError, RuntimeError, ValueError) as error:
            raise invalid_argument_error(str(error)) from error
        self.manager.apply(request.config, expect_versions=True)
        self.manager.wait_available(deadline)
        return model_management_pb2.ReloadConfigResponse(status={"error_code": 0})

    def _execute(
        self, run: GraphRun, arrays: list[np.ndarray], deadline: float, model: str, api: str
    ) -> list[np.ndarray]:
        started = time.monotonic()
        outputs = self._batcher.run(run, arrays, deadline) if self._batcher else run(arrays, deadline)
        self._metrics.runtime_latency.labels(model, api, "TF1").observe((time.monotonic() - started) * 1e6)
        return outputs


def _spec(request: message.Message) -> model_pb2.ModelSpec:
    tasks = getattr(request, "tasks", None)
    if tasks is None:
        return request.model_spec
    if not tasks:
        raise invalid_argument_error("Inference tasks should not be empty")
    return tasks[0].model_spec
