"""A server with predictable answers and scripted failures, for tests of clients."""

import contextlib
import math
import re
import threading
from concurrent import futures

import grpc

from schema.features import CLASS_NAMES
from serving.client.protos import (
    DT_FLOAT,
    DT_STRING,
    METADATA_METHOD,
    METHOD,
    SERVICE,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)

WORDS = {"ministers": "World", "goal": "Sports", "oil": "Business", "chip": "Sci/Tech"}
VERSIONS = (1, 2)
LABELS = {"stable": 1, "canary": 2}


def probabilities(text):
    """Returns the softmax of the number of occurrences of each class's word."""
    counts = dict.fromkeys(CLASS_NAMES, 0)
    for word in re.findall(r"\w+", text.lower()):
        if word in WORDS:
            counts[WORDS[word]] += 1
    total = sum(math.exp(2 * count) for count in counts.values())
    return [math.exp(2 * counts[name]) / total for name in CLASS_NAMES]


class ScriptedServer:
    """A server that classifies texts by their words.

    Attributes:
        address: host:port of the server.
        requests: received Predict requests.
        columns: text columns of the model, in order.
        script: functions of (request, context), one per request, which may abort it.
        change_response: function that can modify a response.
        most_at_once: maximum number of concurrent requests.
    """

    def __init__(self):
        self.address = ""
        self.requests = []
        self.columns = ["title", "description"]
        self.script = []
        self.change_response = lambda response: None
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()

    def get_metadata(self, request, context):
        signatures = SignatureDefMap()
        for index, name in enumerate(self.columns):
            tensor = "serving_default_title:0" if name == "title" else f"serving_default_text_{index:03}:0"
            column = signatures.signature_def["serving_default"].inputs[name]
            column.name, column.dtype = tensor, DT_STRING
        response = GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response

    def predict(self, request, context):
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            step = self.script.pop(0) if self.script else None
        try:
            if step:
                step(request, context)
            return self._answer(request, context)
        finally:
            with self._lock:
                self._now -= 1

    def _answer(self, request, context):
        spec = request.model_spec
        if spec.name != "agnews":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        if spec.version_label and spec.version_label not in LABELS:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}"
            )
        version = LABELS.get(spec.version_label, spec.version.value if spec.HasField("version") else VERSIONS[-1])
        if version not in VERSIONS:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific(agnews, {version})")
        if sorted(request.inputs) != sorted(self.columns):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"input must be {self.columns}")
        texts = list(zip(*(request.inputs[name].string_val for name in self.columns), strict=True))
        response = PredictResponse()
        response.model_spec.name, response.model_spec.version.value = spec.name, version
        classes, scores = response.outputs["classes"], response.outputs["probabilities"]
        classes.dtype, scores.dtype = DT_STRING, DT_FLOAT
        for row in texts:
            classes.string_val.extend(name.encode() for name in CLASS_NAMES)
            scores.float_val.extend(probabilities(b" ".join(row).decode()))
        for tensor in (classes, scores):
            for size in (len(texts), len(CLASS_NAMES)):
                tensor.tensor_shape.dim.add(size=size)
        self.change_response(response)
        return response


def fails(code, details="scripted"):
    """Returns a script function that aborts the request."""
    return lambda request, context: context.abort(code, details)


@contextlib.contextmanager
def serving(credentials=None, address="127.0.0.1:0"):
    """Yields a running ScriptedServer on a free port of the loopback interface."""
    scripted = ScriptedServer()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    handlers = {
        METHOD: grpc.unary_unary_rpc_method_handler(
            scripted.predict, PredictRequest.FromString, PredictResponse.SerializeToString
        ),
        METADATA_METHOD: grpc.unary_unary_rpc_method_handler(
            scripted.get_metadata, GetModelMetadataRequest.FromString, GetModelMetadataResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    scripted.address = f"localhost:{port}"
    server.start()
    try:
        yield scripted
    finally:
        server.stop(grace=None).wait()
