"""The REST API, with the routes and errors of tensorflow/serving, g3doc/api_rest.md."""

import asyncio
import json
import re
import threading
import time
import urllib.parse
import zlib
from concurrent import futures

import grpc
import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
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
from serving.server.errors import (
    RequestError,
    deadline_exceeded_error,
    failed_precondition_error,
    invalid_argument_error,
    request_error,
)
from serving.server.metrics import Metrics
from serving.server.service import InferenceService

_TARGET = r"(?i:/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?)"
_POST = re.compile(_TARGET + r":(?P<verb>classify|regress|predict)")
_GET = re.compile(_TARGET + r"(?P<metadata>/metadata)?")
_STATUS = re.compile(r"/v1/models", re.IGNORECASE)
_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
# HTTP status by canonical code (model_servers/http_server.cc). Other codes are server errors (500).
_HTTP_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_QUICK_THREADS = 2
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
        self._headers = _CORS_HEADERS if cors else {}
        self._pool = futures.ThreadPoolExecutor(threads, thread_name_prefix="rest")
        # Requests that wait for graphs must not delay those for status and metadata.
        self._quick = futures.ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="rest-quick")

        def publish(_: Request) -> Response:
            return Response(metrics.exposition(), media_type="text/plain")

        routes = [Route("/{path:path}", self._respond, methods=_METHODS)]
        if metrics_path:
            # TensorFlow Serving, too, answers every method.
            routes.insert(0, Route(metrics_path, publish, methods=_METHODS))
        self.app = Starlette(routes=routes)

    async def _respond(self, request: Request) -> Response:
        started = time.monotonic()
        path = request.scope["raw_path"].decode("latin-1") if request.scope.get("raw_path") else request.url.path
        if not _API.fullmatch(path):
            return self._json(404, rest_json.encode({"error": f"Not found: {path}"}))
        pattern = {"GET": _GET, "POST": _POST}.get(request.method)
        match = pattern.fullmatch(path) if pattern else None
        code = grpc.StatusCode.OK
        try:
            content = await self._content(request, path, match, started + self._timeout_seconds)
        except _TooLarge:
            code = grpc.StatusCode.INVALID_ARGUMENT
            message = f"the request body is larger than {self._max_bytes} bytes"
            return self._json(413, rest_json.encode({"error": message}))
        except asyncio.CancelledError:  # The server stops.
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as raised:  # Invalid requests can raise anything, and get an error response.
            error = _error(raised)
            code = error.code
            content = rest_json.encode({"error": error.message})
        finally:
            model = urllib.parse.unquote(match["name"]) if match else ""
            api = match["verb"] if match and request.method == "POST" else ""
            self._service.record(model, api, "REST", code, started)
        return self._json(http_status(code), content)

    def _json(self, status: int, content: bytes) -> Response:
        return Response(content, status, self._headers, media_type="application/json")

    async def _content(self, request: Request, path: str, match: re.Match | None, deadline: float) -> bytes:
        """Returns the response as JSON."""
        if request.method == "OPTIONS":
            if not re.search("https?://", request.headers.get("Origin", "")):
                raise failed_precondition_error("Origin header is missing in CORS preflight")
            return b""
        if match is None:
            missing = request.method == "GET" and _STATUS.fullmatch(path)
            raise invalid_argument_error(
                "Missing model name in request." if missing else f"Malformed request: {request.method} {path}"
            )
        spec = _spec(match)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(deadline - time.monotonic()):
            body = await _read(request, self._max_bytes)
            # In a thread, because graphs are slow.
            if request.method == "GET":
                return await loop.run_in_executor(self._quick, self._describe, spec, match["metadata"])
            return await loop.run_in_executor(self._pool, self._infer, match["verb"], spec, body, deadline)

    def _describe(self, spec: model_pb2.ModelSpec, metadata: str | None) -> bytes:
        if metadata:
            return _metadata(self._service, spec)
        status = self._service.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        shown = json_format.MessageToJson(
            status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
        )
        return shown.encode()

    def _infer(self, verb: str, spec: model_pb2.ModelSpec, body: bytes, deadline: float) -> bytes:
        sent = rest_json.parse(body)
        spec.signature_name = rest_json.signature_name(sent)
        if verb == "predict":
            with self._service.manager.borrow(spec) as (_, servable):
                request, row_format = rest_json.predict_request(sent, spec, servable)
            response = self._service.answer("Predict", request, deadline)
            return rest_json.encode(rest_json.predict_result(response, row_format))
        request = rest_json.examples_request(sent, spec, verb)
        return rest_json.encode(rest_json.examples_result(self._service.answer(verb.capitalize(), request, deadline)))


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
    """Returns the body of a request, decompressed."""
    # 31 selects the gzip format with the largest window.
    unzip = zlib.decompressobj(31) if "gzip" in request.headers.get("Content-Encoding", "") else None
    chunks, size = [], 0
    async for chunk in request.stream():
        if unzip and chunk:
            try:
                chunk = unzip.decompress(chunk, max_bytes + 1 - size)
            except zlib.error as error:
                raise invalid_argument_error(f"the request body is not valid gzip: {error}") from error
        size += len(chunk)
        if size > max_bytes:
            raise _TooLarge
        chunks.append(chunk)
    if unzip and not unzip.eof:
        raise invalid_argument_error("the request body is not valid gzip: it ends too early")
    return b"".join(chunks)


def _error(raised: Exception) -> RequestError:
    if isinstance(raised, TimeoutError):
        return deadline_exceeded_error()
    if isinstance(raised, ClientDisconnect):
        return RequestError(grpc.StatusCode.CANCELLED, "the client closed the connection")
    return request_error(raised)


def http_status(code: grpc.StatusCode) -> int:
    """Returns the HTTP status for a canonical code, as TensorFlow Serving does."""
    return _HTTP_STATUS.get(code, 500)


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
