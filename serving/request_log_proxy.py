"""Logs the requests of TensorFlow Serving itself: a gRPC proxy that forwards every call and logs a sample.

The stock server has no log collector. This proxy runs next to it, for instance in the same pod. Clients connect to the
proxy, which writes the same records as the local server, so that `agnews monitor` reads them. REST is not logged.
"""

import http.server
import logging
import signal
import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import click
import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import logging_config_pb2

from schema.errors import RunError
from schema.model_contract import SERVING_DEFAULT, TOKEN_IDS, TRANSFORM_FEATURES, text_columns
from serving.finite_range import FiniteRange
from serving.listening import host_port, listen
from serving.server.config import REQUEST_LOG_TYPE
from serving.server.metrics import METRICS_PATH, Metrics
from serving.server.request_log import RequestLog
from serving.this_machine import proxy_options

_log = logging.getLogger(__name__)

_SERVICE = "/tensorflow.serving.PredictionService/"
_MESSAGES: dict[str, tuple[Any, Any]] = {
    "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
}
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_SIGNATURES = "signature_def"
_TOKENS_SECONDS = 30.0
_LONGEST_SECONDS = 365 * 86_400.0
_GRACE_SECONDS = 10.0
# Most of these threads wait for the server.
_THREADS = 64
_METRICS_SOCKET_SECONDS = 10.0


class _RemoteModels:
    """The models of the server behind the proxy. All have the same logging configuration."""

    def __init__(self, channel: grpc.Channel, config: logging_config_pb2.LoggingConfig):
        self._config = config
        self._columns: dict[bytes, tuple[str, ...]] = {}
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def logging_config(self, model: str) -> logging_config_pb2.LoggingConfig:
        return self._config

    def token_ids(self, spec: model_pb2.ModelSpec, examples: list[bytes]) -> np.ndarray | None:
        request = predict_pb2.PredictRequest(model_spec=spec, output_filter=[TOKEN_IDS])
        request.model_spec.signature_name = TRANSFORM_FEATURES
        request.inputs["examples"].CopyFrom(tf.make_tensor_proto(examples, tf.string))
        try:
            response = self._stub.Predict(request, timeout=_TOKENS_SECONDS)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT):
                return None  # The model has no such signature.
            raise
        return tf.make_ndarray(response.outputs[TOKEN_IDS])

    def text_columns(self, spec: model_pb2.ModelSpec) -> tuple[str, ...]:
        key = spec.SerializeToString(deterministic=True)  # A version's columns do not change.
        if key not in self._columns:
            request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[_SIGNATURES])
            response = self._stub.GetModelMetadata(request, timeout=_TOKENS_SECONDS)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            response.metadata[_SIGNATURES].Unpack(signatures)
            self._columns[key] = text_columns(signatures.signature_def[SERVING_DEFAULT].inputs)
        return self._columns[key]


class _MetricsServer(http.server.ThreadingHTTPServer):
    """Publishes metrics over HTTP in a thread of this process."""

    daemon_threads = True

    def __init__(self, metrics: Metrics, host: str, port: int):
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _METRICS_SOCKET_SECONDS

            def do_GET(self) -> None:
                found = self.path.partition("?")[0] == METRICS_PATH
                content = metrics.exposition() if found else f"Not found: try {METRICS_PATH}\n".encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Logs nothing: Prometheus asks every few seconds."""

        super().__init__((host, port), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listen(host, port, "--host and --metrics-port")
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()


class RequestLogProxy(grpc.GenericRpcHandler):
    """Forwards calls to a server and logs a sample of them. As a context manager, it stops on exit.

    Attributes:
        port: port that it listens on.
        metrics_port: HTTP port of the metrics, or None.
    """

    def __init__(
        self,
        server: str,
        *,
        host: str,
        port: int,
        prefix: Path,
        rate: float,
        keep_days: float = 30.0,
        metrics_port: int | None = None,
    ):
        """Starts to forward calls.

        Args:
            server: gRPC address of TensorFlow Serving.
            host: address to listen on.
            port: port to listen on. 0 selects a free port.
            prefix: path and beginning of the name of the log's files.
            rate: share of the requests to log, 0 to 1.
            keep_days: number of days after which files of the log are deleted.
            metrics_port: HTTP port of the metrics. 0 selects a free port; None publishes no metrics.

        Raises:
            RunError: a port cannot be opened.
        """
        metrics = Metrics()
        config = logging_config_pb2.LoggingConfig()
        config.log_collector_config.type = REQUEST_LOG_TYPE
        config.log_collector_config.filename_prefix = str(prefix)
        config.sampling_config.sampling_rate = rate
        self._channel = grpc.insecure_channel(server, [*_OPTIONS, *proxy_options(server)])
        options = [*_OPTIONS, ("grpc.so_reuseport", 0)]
        self._server = grpc.server(futures.ThreadPoolExecutor(_THREADS), handlers=[self], options=options)
        try:
            self.port = self._server.add_insecure_port(host_port(host, port))
        except RuntimeError as error:
            listen(host, port, "--host and --port").close()  # Reports the reason.
            raise RunError(f"gRPC cannot listen on {host_port(host, port)}") from error
        self._metrics = None if metrics_port is None else _MetricsServer(metrics, host, metrics_port)
        self.metrics_port: int | None = self._metrics.socket.getsockname()[1] if self._metrics else None
        # Last, since it starts a thread: a port that cannot be opened must not leave one behind.
        self._log = RequestLog(_RemoteModels(self._channel, config), metrics, keep_days=keep_days)
        self._server.start()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Returns a handler that forwards the bytes of a call."""
        method = handler_call_details.method
        call = self._channel.unary_unary(method)

        def forward(request: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = [pair for pair in context.invocation_metadata() if not pair[0].startswith(("grpc-", "user-"))]
            try:
                response = call(request, timeout=_timeout(context), metadata=metadata)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            self._offer(method.removeprefix(_SERVICE), request, response)
            return response

        return grpc.unary_unary_rpc_method_handler(forward)

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Rejects new calls, waits up to `grace_seconds` for those in flight, and writes the queued records."""
        self._server.stop(grace_seconds).wait()
        self._log.close(grace_seconds)
        self._channel.close()
        if self._metrics:
            self._metrics.shutdown()
            self._metrics.server_close()

    def __enter__(self) -> "RequestLogProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _offer(self, api: str, request: bytes, response: bytes) -> None:
        if api not in _MESSAGES:
            return
        try:
            sent, received = (
                kind.FromString(data) for kind, data in zip(_MESSAGES[api], (request, response), strict=True)
            )
        except DecodeError as error:
            _log.warning("request not logged api=%s error=%s", api, error)
            return
        self._log.offer(api, sent.model_spec.name, received.model_spec.version.value, sent, received)


def _timeout(context: grpc.ServicerContext) -> float | None:
    remaining = context.time_remaining()
    # A call without a deadline has one of centuries, which overflows when it is added to the time.
    return None if remaining is None or remaining > _LONGEST_SECONDS else remaining


@click.command(epilog="Example:  python -m serving.request_log_proxy --server localhost:8500 --prefix /logs/agnews")
@click.option("--server", default="localhost:8500", show_default=True, help="gRPC address of TensorFlow Serving.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8510, show_default=True, type=click.IntRange(0, 65_535), help="Port to listen on.")
@click.option(
    "--metrics-port", type=click.IntRange(0, 65_535), help="HTTP port of the metrics for Prometheus; unset: none."
)
@click.option("--prefix", required=True, type=click.Path(path_type=Path), help="Path and beginning of the log's files.")
@click.option("--rate", default=0.1, show_default=True, type=FiniteRange(0, 1), help="Share of requests to log.")
@click.option(
    "--keep-days", default=30.0, show_default=True, type=FiniteRange(min=0), help="Days to keep files of the log."
)
def main(**options: Any) -> None:
    """Forward gRPC calls to TensorFlow Serving, and log a sample of the requests for `agnews monitor`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    try:
        with RequestLogProxy(**options) as proxy:
            _log.info("forwarding port=%d server=%s", proxy.port, options["server"])
            stop_requested.wait()
    except RunError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
