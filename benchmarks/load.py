"""Clients that send requests and time them, in a process of their own and without TensorFlow.

Closed loop: a client sends its next request when it is answered. Open loop: requests have fixed times, whether or not
the former are answered, and latency counts from that time, so that a server's pause is felt by all who came during it.

`python -m benchmarks.load ITEMS` reads a Load a line from stdin and prints an Outcome a line, in JSON. With the
transport in-process it is not a client but the limit: the same SavedModel run in this process, with TensorFlow.
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
from serving.client.protos import DT_STRING, PredictionServiceStub, PredictRequest, TensorProto
from serving.this_machine import proxy_options

GRPC, REST, IN_PROCESS = "gRPC", "REST", "in-process"
_TIMEOUT_SECONDS = 30.0
_MAX_REQUESTS = 512
_WARM_UP = 20

Item = tuple[str, str]
Send = Callable[[int], None]
"""Sends the request of a number and waits for the answer; raises when there is none, or not as many as were asked."""


@dataclass(frozen=True)
class Shape:
    """How requests come: texts of a request, requests at a time at most, requests/s of an open loop or None."""

    batch: int = 1
    clients: int = 1
    rate: float | None = None

    def __str__(self) -> str:
        texts = f"{self.batch} text{'s' * (self.batch > 1)}"
        return f"{texts}, {self.clients} at a time" if self.rate is None else f"{texts}, {self.rate:g} requests/s"


@dataclass(frozen=True)
class Load:
    """What is sent where.

    Attributes:
        transport: GRPC, REST or IN_PROCESS.
        target: host:port, or the version's directory.
        model: name of the model.
        shape: how.
        seconds: how long; None lasts until the next line on stdin.
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
class Outcome:
    """What came back.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: seconds of each request that was answered.
        errors: how many failed, by what they were told.
    """

    seconds: float
    latencies: list[float]
    errors: dict[str, int]


def generate(sends: Sequence[Send], rate: float | None, seconds: float, stop: threading.Event) -> Outcome:
    """Sends requests from as many threads as there are `sends`, each with a connection of its own.

    Args:
        sends: one a client.
        rate: requests/s of all clients together; None: each sends when it is answered.
        seconds: no request is sent later.
        stop: ends it early.
    """
    numbers = itertools.count()
    latencies: list[float] = []
    errors: collections.Counter[str] = collections.Counter()
    begin = time.monotonic()

    def work(send: Send) -> None:
        while not stop.is_set():
            number = next(numbers)
            # From the begin, not since boot: of that a sum loses digits, and one request too many would be sent.
            intended = time.monotonic() - begin if rate is None else number / rate
            if intended >= seconds:
                return
            time.sleep(max(begin + intended - time.monotonic(), 0))
            try:
                send(number)
            except Exception as error:  # Whatever failed, it is counted.
                errors[_described(error)] += 1
            else:
                latencies.append(time.monotonic() - begin - intended)

    threads = [threading.Thread(target=work, args=[send]) for send in sends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcome(time.monotonic() - begin, latencies, dict(errors))


def _described(error: Exception) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def _connect(load: Load, batches: list[list[Item]], stack: contextlib.ExitStack) -> list[Send]:
    """A `Send` for each client; what they hold open is closed with the stack."""
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
def _loaded(directory: str):
    from serving.server.servable import Servable, SessionOptions

    # A session and its callable: faster than the function that tf.saved_model.load gives.
    return Servable(directory, SessionOptions())


def _in_process(load: Load, batches: list[list[Item]]) -> Send:
    import numpy as np

    servable = _loaded(load.target)
    signature = servable.signatures[SERVING_DEFAULT]
    fetches = [tensor for tensor, _ in signature.outputs.values()]
    run = servable.run_for(tuple(given.tensor for given in signature.inputs.values()), tuple(fetches))
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


def _run(load: Load, items: list[Item]) -> Outcome:
    starts = itertools.islice(range(0, len(items) - load.shape.batch + 1, load.shape.batch), _MAX_REQUESTS)
    batches = [items[start : start + load.shape.batch] for start in starts]
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        sends = _connect(load, batches, stack)
        for number in range(max(_WARM_UP, len(sends))):
            with contextlib.suppress(Exception):  # What fails now fails again when it counts.
                sends[number % len(sends)](number)
        if load.seconds is None:
            threading.Thread(target=_stop_at_a_line, args=[stop], daemon=True).start()
        return generate(sends, load.shape.rate, load.seconds or float("inf"), stop)


def _stop_at_a_line(stop: threading.Event) -> None:
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
