"""Sends requests and measures their latency, in a separate process without TensorFlow.

In a closed loop, a client sends its next request after the response to the last one. In an open loop, requests are due
at fixed times, and latency counts from that time, so that a pause of the server affects all requests that are due
during the pause.

`python -m benchmarks.load ITEMS` reads one Load per line from stdin and prints one LoadResult per line, in JSON. The
transport "in-process" measures the upper limit: it runs the same SavedModel with TensorFlow in this process.
"""

import collections
import contextlib
import functools
import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc

from schema.features import DESCRIPTION, TITLE
from schema.model_contract import SERVING_DEFAULT
from serving.tensorflow_messages import DT_STRING, PredictionServiceStub, PredictRequest, TensorProto
from serving.this_machine import proxy_options

GRPC, REST, IN_PROCESS = "gRPC", "REST", "in-process"
_TIMEOUT_SECONDS = 30.0
_MAX_REQUESTS = 512
_WARM_UP = 20

Item = tuple[str, str]
Send = Callable[[int], None]
"""Sends the request with a number and waits for the response. It raises if the request fails."""


@dataclass(frozen=True)
class Shape:
    """The form of a load.

    Attributes:
        batch: number of texts per request.
        clients: maximum number of concurrent requests.
        rate: requests per second of an open loop, or None for a closed loop.
    """

    batch: int = 1
    clients: int = 1
    rate: float | None = None

    def __str__(self) -> str:
        texts = f"{self.batch} text{'s' * (self.batch > 1)}"
        return f"{texts}, {self.clients} at a time" if self.rate is None else f"{texts}, {self.rate:g} requests/s"


@dataclass(frozen=True)
class Load:
    """A load on a server.

    Attributes:
        transport: GRPC, REST or IN_PROCESS.
        target: host:port, or the directory of the version for IN_PROCESS.
        model: name of the model.
        shape: form of the load.
        seconds: duration, or None to continue until the next line on stdin.
    """

    transport: str
    target: str
    model: str
    shape: Shape
    seconds: float | None = None

    @classmethod
    def from_json(cls, text: str) -> "Load":
        values = json.loads(text)
        return cls(**values | {"shape": Shape(**values["shape"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class LoadResult:
    """Result of a load.

    Attributes:
        seconds: time from the first request to the last response.
        latencies: seconds of each successful request.
        errors: number of failed requests by error message.
    """

    seconds: float
    latencies: list[float]
    errors: dict[str, int]


def generate(sends: Sequence[Send], rate: float | None, seconds: float, stop: threading.Event) -> LoadResult:
    """Sends requests from one thread per client.

    Args:
        sends: one function per client, each with its own connection.
        rate: requests per second of all clients together, or None for a closed loop.
        seconds: time after which no request is sent.
        stop: event that ends the load early.

    Returns:
        Latencies and errors of all clients.
    """
    numbers = itertools.count()
    latencies: list[float] = []
    errors: collections.Counter[str] = collections.Counter()
    begin = time.monotonic()

    def work(send: Send) -> None:
        while not stop.is_set():
            number = next(numbers)
            # Seconds since `begin`. Sums with the seconds since boot lose digits, which could add one more request.
            intended = time.monotonic() - begin if rate is None else number / rate
            if intended >= seconds:
                return
            time.sleep(max(begin + intended - time.monotonic(), 0))
            try:
                send(number)
            except Exception as error:  # All errors are counted.
                errors[_error_message(error)] += 1
            else:
                latencies.append(time.monotonic() - begin - intended)

    threads = [threading.Thread(target=work, args=[send]) for send in sends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return LoadResult(time.monotonic() - begin, latencies, dict(errors))


def _error_message(error: Exception) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def _connect(load: Load, batches: list[list[Item]], stack: contextlib.ExitStack) -> list[Send]:
    """Returns a `Send` for each client. The stack closes their connections."""
    if load.transport == GRPC:
        return _grpc(load, batches, stack)
    if load.transport == REST:
        return [_rest(load, batches, stack) for _ in range(load.shape.clients)]
    return [_in_process(load, batches)] * load.shape.clients


def _grpc(load: Load, batches: list[list[Item]], stack: contextlib.ExitStack) -> list[Send]:
    stub = PredictionServiceStub(stack.enter_context(grpc.insecure_channel(load.target, proxy_options(load.target))))
    requests = []
    for batch in batches:
        request = PredictRequest()
        request.model_spec.name = load.model
        for name, texts in zip((TITLE, DESCRIPTION), zip(*batch, strict=True), strict=True):
            tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode() for text in texts])
            tensor.tensor_shape.dim.add(size=len(texts))
            request.inputs[name].CopyFrom(tensor)
        requests.append(request)

    def send(number: int) -> None:
        response = stub.Predict(requests[number % len(requests)], timeout=_TIMEOUT_SECONDS)
        _check(next(iter(response.outputs.values())).tensor_shape.dim[0].size, load)

    return [send] * load.shape.clients


def _rest(load: Load, batches: list[list[Item]], stack: contextlib.ExitStack) -> Send:
    connection = http.client.HTTPConnection(load.target, timeout=_TIMEOUT_SECONDS)
    stack.callback(connection.close)
    bodies = [
        json.dumps({"instances": [{TITLE: title, DESCRIPTION: description} for title, description in batch]}).encode()
        for batch in batches
    ]

    def send(number: int) -> None:
        try:
            connection.request("POST", f"/v1/models/{load.model}:predict", bodies[number % len(bodies)])
            response = connection.getresponse()
            body = response.read()
        except OSError:
            connection.close()  # The next request opens it again.
            raise
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"{response.status} {body[:200]!r}")
        _check(len(json.loads(body)["predictions"]), load)

    return send


@functools.cache
def _load_model(directory: str):
    from serving.server.servable import Servable, SessionOptions

    # A session and its callable are faster than the function of tf.saved_model.load.
    return Servable(directory, SessionOptions())


def _in_process(load: Load, batches: list[list[Item]]) -> Send:
    import numpy as np

    servable = _load_model(load.target)
    signature = servable.signatures[SERVING_DEFAULT]
    fetches = [tensor for tensor, _ in signature.outputs.values()]
    run = servable.run_for(tuple(model_input.tensor for model_input in signature.inputs.values()), tuple(fetches))
    columns = (TITLE, DESCRIPTION)
    requests = [
        [np.array([item[columns.index(name)].encode() for item in batch], object) for name in signature.inputs]
        for batch in batches
    ]

    def send(number: int) -> None:
        _check(len(run(requests[number % len(requests)])[0]), load)

    return send


def _check(answers: int, load: Load) -> None:
    if answers != load.shape.batch:
        raise ValueError(f"{answers} answers to {load.shape.batch} texts")


def _run(load: Load, items: list[Item]) -> LoadResult:
    starts = itertools.islice(range(0, len(items) - load.shape.batch + 1, load.shape.batch), _MAX_REQUESTS)
    batches = [items[start : start + load.shape.batch] for start in starts]
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        sends = _connect(load, batches, stack)
        for number in range(max(_WARM_UP, len(sends))):
            with contextlib.suppress(Exception):  # Errors occur again in the measurement.
                sends[number % len(sends)](number)
        if load.seconds is None:
            threading.Thread(target=_stop_at_next_line, args=[stop], daemon=True).start()
        return generate(sends, load.shape.rate, load.seconds or float("inf"), stop)


def _stop_at_next_line(stop: threading.Event) -> None:
    sys.stdin.readline()
    stop.set()


def _main(path: str) -> None:
    items = [tuple(item) for item in json.loads(Path(path).read_text(encoding="utf-8"))]
    for line in iter(sys.stdin.readline, ""):
        outcome = _run(Load.from_json(line), items)
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1])
