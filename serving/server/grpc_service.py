"""The gRPC API: PredictionService and ModelService of TensorFlow Serving, health checks and reflection."""

import contextlib
import functools
import importlib
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from schema.errors import RunError
from serving.listening import host_port, listen
from serving.server.errors import RequestError
from serving.server.service import InferenceService

_OPTIONS = "--host and --port"
_SERVED = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
# TensorFlow Serving reports the health of its services under their short names (model_servers/server.cc).
_HEALTH_NAMES = ("", *_SERVED, *(name.rpartition(".")[2] for name in _SERVED))
_QUICK_THREADS = 4


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: InferenceService):
        self._service = service

    def Predict(self, request, context):
        return self._answer("Predict", request, context)

    def Classify(self, request, context):
        return self._answer("Classify", request, context)

    def Regress(self, request, context):
        return self._answer("Regress", request, context)

    def MultiInference(self, request, context):
        return self._answer("MultiInference", request, context)

    def GetModelMetadata(self, request, context):
        return _reply(context, lambda: self._service.metadata(request))

    def _answer(self, api: str, request, context: grpc.ServicerContext):
        started, code = time.monotonic(), grpc.StatusCode.OK
        try:
            return self._service.answer(api, request, _deadline(context))
        except RequestError as error:
            code = error.code
            return context.abort(code, error.message)
        finally:
            self._service.record(_model_name(request), api, "GRPC", code, started)


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: InferenceService):
        self._service = service

    def GetModelStatus(self, request, context):
        return _reply(context, lambda: self._service.status(request))

    def HandleReloadConfigRequest(self, request, context):
        return _reply(context, lambda: self._service.reload(request, _deadline(context)))


def _model_name(request: message.Message) -> str:
    spec = getattr(request, "model_spec", None)
    return spec.name if spec is not None else next((task.model_spec.name for task in request.tasks), "")


def _deadline(context: grpc.ServicerContext) -> float:
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


def _reply(context: grpc.ServicerContext, answer: Callable[[], message.Message]):
    try:
        return answer()
    except RequestError as error:
        return context.abort(error.code, error.message)


class _SymbolPool:
    """A descriptor pool that finds methods, too. Python's own pool does not find them by their names."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        service, _, method = symbol.rpartition(".")
        with contextlib.suppress(KeyError):
            if method in self._pool.FindServiceByName(service).methods_by_name:
                symbol = service
        return self._pool.FindFileContainingSymbol(symbol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


class GrpcServer:
    """A gRPC server for an InferenceService.

    Attributes:
        port: port that the server listens on.
    """

    def __init__(
        self,
        service: InferenceService,
        *,
        host: str,
        port: int,
        socket_path: str | None,
        threads: int,
        options: dict[str, int | str],
        credentials: grpc.ServerCredentials | None,
        health_service: bool,
    ):
        """Binds the port.

        Args:
            service: answers the requests.
            host: IPv4 or IPv6 address to listen on.
            port: port to listen on. 0 selects a free port.
            socket_path: path of an additional Unix socket, or None.
            threads: number of requests to process at once.
            options: gRPC channel arguments by name.
            credentials: certificates, or None to serve without TLS.
            health_service: whether to serve grpc.health.v1.

        Raises:
            RunError: the address is invalid or in use.
            RuntimeError: the path of the socket is invalid.
        """
        pool = futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        self._server = grpc.server(pool, options=list(options.items()))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Predictions(service), self._server)
        # Requests that wait for graphs must not delay these.
        quick = futures.ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="grpc-quick")
        models = _Models(service)
        _run_in(quick, models, "GetModelStatus")
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, self._server)
        self._health = health.HealthServicer()
        _run_in(quick, self._health, "Check")
        _describe_services()
        names = [*_SERVED, reflection.SERVICE_NAME]
        if health_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            names.append(health.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, _SymbolPool())
        self.port = self._bind(host, port, credentials)
        if socket_path:
            self._add_port(f"unix:{socket_path}", credentials)

    def start(self) -> None:
        """Starts to answer requests."""
        self._server.start()
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> None:
        """Rejects new requests and waits up to `grace_seconds` for those in flight."""
        self._health.enter_graceful_shutdown()
        # A graph cannot be interrupted, so the handlers may end later.
        self._server.stop(grace_seconds).wait(grace_seconds + 1)

    def _bind(self, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
        address = host_port(host, port)
        try:
            return self._add_port(address, credentials)
        except RuntimeError as error:
            # gRPC does not report the reason. Binding a socket does.
            listen(host, port, _OPTIONS).close()
            raise RunError(f"gRPC cannot listen on {address}: see the message of gRPC") from error

    def _add_port(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        if credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, credentials)


def _run_in(pool: futures.ThreadPoolExecutor, servicer: Any, method: str) -> None:
    """Runs a method of a servicer in a pool of its own."""
    behavior = functools.partial(getattr(servicer, method))
    # gRPC reads this attribute of the function (grpc/_server.py).
    behavior.experimental_thread_pool = pool  # type: ignore[attr-defined]
    setattr(servicer, method, behavior)


def _describe_services() -> None:
    """Registers the services in protobuf's descriptor pool, which reflection reads."""
    for name in ("prediction_service_pb2", "model_service_pb2"):
        # tensorflow-serving-api 2.19 generated these two modules with an old compiler. With protobuf 6 their import
        # fails, but only after it has registered the descriptors.
        with contextlib.suppress(AttributeError):
            importlib.import_module(f"tensorflow_serving.apis.{name}")
