"""The REST API, with the routes and errors of tensorflow/serving, g3doc/api_rest.md."""

import asyncio
import json
import re
import threading
import time
import urllib.parse
from concurrent import futures

import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)

from serving.listening import listen
from serving.server import rest_json
from serving.server.errors import deadline_exceeded_error, invalid_argument_error, request_error
from serving.server.metrics import Metrics
from serving.server.service import InferenceService

_TARGET = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_TARGET + r":(?P<verb>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_TARGET + r"(?P<metadata>/metadata)?", re.IGNORECASE)
# HTTP status by canonical code. Other codes are server errors (500).
_HTTP_STATUS = {1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 503, 9: 412, 10: 409, 11: 416, 12: 501, 14: 503}
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]  # Unsupported methods get an error in JSON.
_INT64_MAX = (1 << 63) - 1


class _TooLarge(Exception):
    pass


class RestApi:
    """The routes.

    Attributes:
        app: ASGI application.
    """

    def __init__(
        self,
        service: InferenceService,
        metrics: Metrics,
        *,
        threads: int,
        timeout_seconds: float,
        max_bytes: int,
        metrics_path: str | None,
        cors: bool,
    ):
        """Creates the application.

        Args:
            service: answers the requests.
            metrics: metrics to publish at `metrics_path`.
            threads: number of requests to process at once.
            timeout_seconds: timeout of a request, from its first byte to the response.
            max_bytes: maximum size of a request body. Larger requests are rejected with status 413.
            metrics_path: URL path of the metrics, or None to disable them.
            cors: whether to allow requests from web pages of other origins.
        """
        self._service = service
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._pool = futures.ThreadPoolExecutor(threads, thread_name_prefix="rest")
        routes = [Route("/{path:path}", self._respond, methods=_METHODS)]
        if metrics_path:
            routes.insert(
                0, Route(metrics_path, lambda request: Response(metrics.exposition(), media_type="text/plain"))
            )
        middleware = [Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["Content-Type"])] if cors else []
        self.app = Starlette(routes=routes, middleware=middleware)

    async def _respond(self, request: Request) -> Response:
        deadline = time.monotonic() + self._timeout_seconds
        path = request.scope["raw_path"].decode("latin-1") if request.scope.get("raw_path") else request.url.path
        try:
            async with asyncio.timeout(self._timeout_seconds):
                body = await _read(request, self._max_bytes)
                loop = asyncio.get_running_loop()
                content = await loop.run_in_executor(self._pool, self._answer, request.method, path, body, deadline)
            return Response(content, media_type="application/json")
        except _TooLarge:
            return _error(413, f"the request body is larger than {self._max_bytes} bytes")
        except (TimeoutError, ClientDisconnect):
            error = deadline_exceeded_error()
        except Exception as raised:  # Invalid requests can raise anything, and get an error response.
            error = request_error(raised)
        return _error(_HTTP_STATUS.get(error.code.value[0], 500), error.message)

    def _answer(self, method: str, path: str, body: bytes, deadline: float) -> bytes:
        """Returns the response as JSON. It runs in a thread, because graphs are slow."""
        pattern = {"GET": _GET, "POST": _POST}.get(method)
        match = pattern.fullmatch(path) if pattern else None
        if match is None:
            raise invalid_argument_error(f"Malformed request: {method} {path}")
        spec = _spec(match)
        if method == "POST":
            return rest_json.encode(self._infer(match["verb"].lower(), spec, body, deadline))
        if match["metadata"]:
            return _metadata(self._service, spec)
        status = self._service.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        shown = json_format.MessageToJson(
            status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
        )
        return shown.encode()

    def _infer(self, verb: str, spec: model_pb2.ModelSpec, body: bytes, deadline: float) -> dict:
        sent = rest_json.parse(body)
        spec.signature_name = rest_json.signature_name(sent)
        if verb == "predict":
            with self._service.manager.borrow(spec) as (_, servable):
                request, row_format = rest_json.predict_request(sent, spec, servable)
            response = self._service.answer("Predict", request, deadline, "REST")
            return rest_json.predict_result(response, row_format)
        request = rest_json.examples_request(sent, spec, verb)
        return rest_json.examples_result(self._service.answer(verb.capitalize(), request, deadline, "REST"))


class RestServer:
    """An HTTP server in a thread of this process.

    Attributes:
        port: port that the server listens on.
    """

    def __init__(self, api: RestApi, host: str, port: int):
        """Binds the port.

        Args:
            api: the application to serve.
            host: IPv4 or IPv6 address to listen on.
            port: port to listen on. 0 selects a free port.

        Raises:
            RunError: the address is invalid or in use.
        """
        self._socket = listen(host, port, "--host and --rest_api_port", backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(api.app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=75)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="rest", daemon=True
        )

    def start(self) -> None:
        """Starts to answer requests."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Rejects new requests and waits up to `grace_seconds` for those in flight."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        self._thread.join(grace_seconds + 1)


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _spec(match: re.Match) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(match["name"]))
    if match["version"]:
        if len(match["version"]) > 19 or int(match["version"]) > _INT64_MAX:
            raise invalid_argument_error(f"Failed to convert version: {match['version'][:40]} to numeric.")
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = urllib.parse.unquote(match["label"])
    return spec


def _metadata(service: InferenceService, spec: model_pb2.ModelSpec) -> bytes:
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
    response = service.metadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    spec_json, signatures_json = (
        json_format.MessageToDict(proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for proto in (response.model_spec, signatures)
    )
    return json.dumps({"model_spec": spec_json, "metadata": {"signature_def": signatures_json}}, indent=1).encode()


def _error(status: int, message: str) -> Response:
    return Response(rest_json.encode({"error": message}), status, media_type="application/json")
