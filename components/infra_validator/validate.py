"""Sends real requests to a served export and compares the responses with those of the model in this process.

There are two kinds of failure. `Refused` is a verdict on the model: its files do not load, it fails on a request, its
responses differ, or its process uses more memory than allowed, which no other program influences. NotMeasuredError
means that the machine did not allow a verdict: no process, no connection, no time, no memory, or a signal from outside.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import numpy as np
import psutil
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from components.infra_validator.serving_operations import SERVING_VERSION, missing_operations
from schema.child_process import bound_command
from schema.errors import NotMeasuredError
from schema.model_contract import CLASSES, SAVED_MODEL, SERVE_EXAMPLES, SERVING_DEFAULT
from schema.news_items import TEXT_COLUMNS, split_into_columns
from schema.temporary import temporary_directory
from serving.saved_model import read_text_columns
from serving.this_machine import proxy_options

# A batch with a text of one megabyte exceeds gRPC's own limit of 4 MiB.
_MESSAGE_LIMITS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
_MODEL = "candidate"
_BATCH = 8
_POLL_SECONDS = 0.2
# Status codes of failures that concern the machine. All other codes concern the model.
OF_MACHINE = ("ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAVAILABLE")
_AGAIN = "run again when the machine is less busy, or raise infra_validator.timeout_seconds"
# Texts that clients send sooner or later: empty, very long, and not English.
ODD_TEXTS = (("", ""), ("word " * 200_000, ""), ("Żółć 東京 🏈", "naïve\u0000 ‮text"), ("#39;", "&lt;&gt;\\\\"))


class Refused(Exception):
    """The export must not go into production; the message gives the reason."""


@dataclass(frozen=True)
class Limits:
    """Limits of the serving process.

    Attributes:
        timeout_seconds: time for loading and for all requests together.
        max_memory_mb: resident memory, MiB.
        tolerance: difference of any probability.
    """

    timeout_seconds: float
    max_memory_mb: int
    tolerance: float


def validate(saved_model: str, serialized_examples: Sequence[bytes], limits: Limits) -> None:
    """Serves the export in another process, without a GPU, and queries the text and the tf.Example signatures.

    Args:
        saved_model: directory of the export.
        serialized_examples: tf.Examples with `title` and `description`.
        limits: limits of the serving process.

    Raises:
        Refused: the export did not load, used too much memory, failed on a request, or its responses differ from those
            of the model in this process.
        NotMeasuredError: the machine did not allow a verdict.
    """
    if not os.path.isdir(saved_model):
        raise not_tried(f"the export {saved_model} is not there", "run again with --no-cache")
    if os.path.exists(os.path.join(saved_model, SAVED_MODEL)) and (missing := _missing_operations(saved_model)):
        raise Refused(
            f"TensorFlow Serving {SERVING_VERSION} lacks {', '.join(missing)}; deploy a newer release of it, or export "
            "with an older TensorFlow"
        )
    deadline = time.monotonic() + limits.timeout_seconds
    with _serving(saved_model, limits, deadline) as predict:
        here = tf.saved_model.load(saved_model)
        for signature, inputs in _requests(serialized_examples, read_text_columns(saved_model)):
            served = predict(signature, inputs)
            expected = here.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
            _compare(signature, served, {name: value.numpy() for name, value in expected.items()}, limits.tolerance)


def _missing_operations(saved_model: str) -> list[str]:
    try:
        return missing_operations(saved_model)
    except DecodeError:  # The server reports what is wrong with the file.
        return []


def _requests(serialized_examples: Sequence[bytes], columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for start in range(0, len(serialized_examples), _BATCH):
        batch = serialized_examples[start : start + _BATCH]
        yield SERVE_EXAMPLES, {"inputs": list(batch)}
        features = [tf.train.Example.FromString(example).features.feature for example in batch]
        items = [tuple(row[name].bytes_list.value[0].decode() for name in TEXT_COLUMNS) for row in features]
        yield SERVING_DEFAULT, split_into_columns(columns, items)
    for item in ODD_TEXTS:
        yield SERVING_DEFAULT, split_into_columns(columns, [item])


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
        elif name == CLASSES and not np.array_equal(served[name], value):
            raise Refused(f"{signature}: {name} are {served[name][0]} over the wire, {value[0]} in this process")


@contextmanager
def _serving(saved_model: str, limits: Limits, deadline: float) -> Iterator[Callable[[str, dict], dict]]:
    """Starts the process; yields a function that sends one Predict request to it."""
    # The server is imported from the directory of this package, and does not use a GPU.
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with ExitStack() as stack:
        try:
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            base = stack.enter_context(temporary_directory())
            Path(base, "1").symlink_to(Path(saved_model).absolute())
            # The project's own server runs a session as TensorFlow Serving does, so a failure to load is final.
            options = {"port": 0, "model_name": _MODEL, "model_base_path": base, "max_num_load_retries": 0}
            flags = [f"--{name}={value}" for name, value in options.items()]
            command = bound_command([sys.executable, "-m", "serving.server", *flags])
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        except OSError as error:
            raise not_tried(
                f"no serving process can be started: {error}", "free what it lacks, then run again"
            ) from error
        stack.callback(process.wait)
        stack.callback(process.kill)
        guard = stack.enter_context(_MemoryGuard(process, limits.max_memory_mb))
        address = f"127.0.0.1:{_wait_for_port(process, guard, errors, deadline, limits)}"
        channel = stack.enter_context(grpc.insecure_channel(address, [*_MESSAGE_LIMITS, *proxy_options(address)]))
        server = _Server(process, channel, guard, deadline)
        server.check_available()
        yield server.predict


def not_tried(what: str, remedy: str) -> NotMeasuredError:
    """Returns the error for a failure that prevented a verdict, with its remedy."""
    return NotMeasuredError(f"{what}; the model was neither blessed nor refused: {remedy}")


def _wait_for_port(
    process: subprocess.Popen, guard: "_MemoryGuard", errors: IO[str], deadline: float, limits: Limits
) -> int:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda stream: lines.put(stream.readline()), args=[process.stdout], daemon=True).start()
    try:
        line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise not_tried(f"the export did not load within {limits.timeout_seconds:g} s", _AGAIN) from None
    if not line:
        guard.check()
        errors.seek(0)
        last = [text for text in errors.read().splitlines() if text.strip()][-1:] or ["no message"]
        raise not_tried(
            f"the serving process ended{_signal_of(process)} while it loaded the export: {last[0]}",
            "see the log, and whether the machine lacks memory or disk space",
        )
    event = json.loads(line)
    if event["event"] == "failed":
        [failure] = event["models"][_MODEL].values()
        if failure["code"] in OF_MACHINE:
            raise not_tried(f"the export could not be loaded: {failure['code']}: {failure['message']}", "run again")
        raise Refused(f"the export does not load: {failure['message']}")
    return event["grpc_port"]


def _signal_of(process: subprocess.Popen) -> str:
    """Returns " by SIGKILL" (or another name) if a signal ended the process, otherwise an empty string."""
    with suppress(subprocess.TimeoutExpired):  # The connections end a moment before the process does.
        if (status := process.wait(timeout=1)) < 0:
            return f" by {signal.Signals(-status).name}"
    return ""


@dataclass(frozen=True)
class _Server:
    """The serving process and the connection to it."""

    process: subprocess.Popen
    channel: grpc.Channel
    guard: "_MemoryGuard"
    deadline: float

    def check_available(self) -> None:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=_MODEL))
        stub = model_service_pb2_grpc.ModelServiceStub(self.channel)
        try:
            status = stub.GetModelStatus(request, timeout=self._seconds_left())
        except grpc.RpcError as error:
            self.guard.check()
            raise self._no_answer("GetModelStatus", error) from error
        if status.model_version_status[0].state != get_model_status_pb2.ModelVersionStatus.AVAILABLE:
            raise not_tried("the model was loaded, but is not AVAILABLE", "run again")

    def predict(self, signature: str, inputs: dict) -> dict:
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=_MODEL, signature_name=signature))
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value, dtype=tf.string))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        try:
            response = stub.Predict(request, timeout=self._seconds_left())
        except grpc.RpcError as error:
            self.guard.check()
            what = f"{signature} failed on a request of {len(request.SerializeToString())} bytes"
            if error.code().name in OF_MACHINE:
                raise self._no_answer(what, error) from error
            raise Refused(f"{what}: {error.code().name}: {one_line(error)}") from error
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}

    def _seconds_left(self) -> float:
        return max(0.1, self.deadline - time.monotonic())

    def _no_answer(self, what: str, error: grpc.RpcError) -> NotMeasuredError:
        ended = f" (the serving process was ended{by})" if (by := _signal_of(self.process)) else ""
        return not_tried(f"{what}: {error.code().name}: {one_line(error)}{ended}", _AGAIN)


def one_line(error: grpc.RpcError) -> str:
    """Returns the details of a failed call on one line."""
    return " ".join((error.details() or "").split())


class _MemoryGuard:
    """Context manager that ends a process whose resident memory exceeds a limit."""

    def __init__(self, process: subprocess.Popen, max_mb: int):
        self._process = process
        self._max_mb = max_mb
        self._exceeded = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def check(self) -> None:
        """Raises Refused if the process was ended because of the limit."""
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
