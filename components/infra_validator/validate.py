"""Asks a served export real questions and compares its answers with those of the model in this process."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import psutil
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from schema.features import DESCRIPTION, TITLE

# A text of a megabyte, in a batch, is more than gRPC's own 4 MiB.
_MESSAGE_LIMITS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
_MODEL = "candidate"
_BATCH = 8
_POLL_SECONDS = 0.2
# What clients send sooner or later: nothing, a novel, and what is not English.
ODD_TEXTS = (("", ""), ("word " * 200_000, ""), ("Żółć 東京 🏈", "naïve\u0000 ‮text"), ("#39;", "&lt;&gt;\\\\"))


class Refused(Exception):
    """The export cannot go into production; the message says why."""


@dataclass(frozen=True)
class Limits:
    """What the serving process may take.

    Attributes:
        timeout_seconds: for loading and answering together.
        max_memory_mb: resident memory, MiB.
        tolerance: difference of any probability.
    """

    timeout_seconds: float
    max_memory_mb: int
    tolerance: float


def validate(saved_model: str, serialized_examples: Sequence[bytes], limits: Limits) -> None:
    """Serves the export in another process, without a GPU, and queries both text and tf.Example signatures.

    Args:
        saved_model: directory of the export.
        serialized_examples: tf.Examples with `title` and `description`.
        limits: what the process may take.

    Raises:
        Refused: it did not load, broke a limit, did not answer, or answered otherwise than in this process.
    """
    deadline = time.monotonic() + limits.timeout_seconds
    with _serving(saved_model, limits, deadline) as predict:
        here = tf.saved_model.load(saved_model)
        for signature, inputs in _requests(serialized_examples):
            served = predict(signature, inputs)
            expected = here.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
            _compare(signature, served, {name: value.numpy() for name, value in expected.items()}, limits.tolerance)


def _requests(serialized_examples: Sequence[bytes]) -> Iterator[tuple[str, dict[str, list[bytes]]]]:
    for start in range(0, len(serialized_examples), _BATCH):
        batch = serialized_examples[start : start + _BATCH]
        yield "serve_examples", {"inputs": list(batch)}
        features = [tf.train.Example.FromString(example).features.feature for example in batch]
        yield (
            "serving_default",
            {name: [row[name].bytes_list.value[0] for row in features] for name in (TITLE, DESCRIPTION)},
        )
    for title, description in ODD_TEXTS:
        yield "serving_default", {TITLE: [title.encode()], DESCRIPTION: [description.encode()]}


def _compare(signature: str, served: dict, expected: dict, tolerance: float) -> None:
    if served.keys() != expected.keys():
        raise Refused(f"{signature} answered with {sorted(served)}, expected {sorted(expected)}")
    for name, value in expected.items():
        if served[name].shape != value.shape:
            raise Refused(
                f"{signature}: {name} has the shape {served[name].shape} over the wire, expected {value.shape}"
            )
        if value.dtype.kind == "f":
            difference = float(np.max(np.abs(served[name] - value), initial=0.0))
            if not difference <= tolerance:  # Not >: a NaN must not pass.
                raise Refused(
                    f"{signature}: {name} differs by {difference:.2g} over the wire, allowed is {tolerance:.2g}"
                )
        elif name == "classes" and not np.array_equal(served[name], value):
            raise Refused(f"{signature}: {name} are {served[name][0]} over the wire, {value[0]} in this process")


@contextmanager
def _serving(saved_model: str, limits: Limits, deadline: float) -> Iterator[Callable[[str, dict], dict]]:
    """Starts the process; yields a function that sends one Predict request to it."""
    # The module is found wherever this one was, and a server has no GPU to rely on.
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryDirectory() as base:
        Path(base, "1").symlink_to(Path(saved_model).absolute())
        # The project's own server, which runs a session as TensorFlow Serving does: what does not load is final here.
        options = {"port": 0, "model_name": _MODEL, "model_base_path": base, "max_num_load_retries": 0}
        command = [sys.executable, "-m", "serving.server", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            with _MemoryGuard(process, limits.max_memory_mb) as guard:
                port = _wait_for_port(process, guard, errors, deadline)
                with grpc.insecure_channel(f"127.0.0.1:{port}", _MESSAGE_LIMITS) as channel:
                    _check_available(channel, deadline)
                    yield lambda signature, inputs: _predict(channel, signature, inputs, guard, deadline)
        finally:
            process.kill()
            process.wait()


def _wait_for_port(process: subprocess.Popen, guard: "_MemoryGuard", errors, deadline: float) -> int:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda stream: lines.put(stream.readline()), args=[process.stdout], daemon=True).start()
    try:
        line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise Refused("the export did not load within the time limit") from None
    if line:
        return json.loads(line)["grpc_port"]
    guard.check()
    errors.seek(0)
    last = [text for text in errors.read().splitlines() if text.strip()][-1:]
    raise Refused(f"the serving process ended while it loaded the export: {''.join(last) or 'no message'}")


def _check_available(channel: grpc.Channel, deadline: float) -> None:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=_MODEL))
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    try:
        status = stub.GetModelStatus(request, timeout=max(0.1, deadline - time.monotonic()))
    except grpc.RpcError as error:
        raise Refused(f"GetModelStatus failed: {error.code().name}: {error.details()}") from error
    if status.model_version_status[0].state != get_model_status_pb2.ModelVersionStatus.AVAILABLE:
        raise Refused("the model did not become AVAILABLE")


def _predict(channel: grpc.Channel, signature: str, inputs: dict, guard: "_MemoryGuard", deadline: float) -> dict:
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=_MODEL, signature_name=signature))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value, dtype=tf.string))
    try:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(
            request, timeout=max(0.1, deadline - time.monotonic())
        )
    except grpc.RpcError as error:
        guard.check()
        size, reason = len(request.SerializeToString()), " ".join(error.details().split())
        raise Refused(f"{signature} failed on a request of {size} bytes: {error.code().name}: {reason}") from error
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


class _MemoryGuard:
    """Ends a process whose resident memory grows over a limit; works as a context manager."""

    def __init__(self, process: subprocess.Popen, max_mb: int):
        self._process = process
        self._max_mb = max_mb
        self._exceeded = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def check(self) -> None:
        """Raises Refused when the limit was the reason for the process's end."""
        if self._exceeded:
            raise Refused(f"the serving process took more than {self._max_mb} MiB of memory")

    def _watch(self) -> None:
        try:
            watched = psutil.Process(self._process.pid)
            while not self._stopped.wait(_POLL_SECONDS):
                if watched.memory_info().rss > self._max_mb << 20:
                    self._exceeded = True
                    self._process.kill()
                    return
        except psutil.NoSuchProcess:
            return

    def __enter__(self) -> "_MemoryGuard":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped.set()
        self._thread.join()
