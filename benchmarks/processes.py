"""Starts the processes of `make bench-serve`: model servers and clients."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from benchmarks.load import Load, LoadResult
from schema.errors import RunError
from serving.tensorflow_messages import GetModelStatusRequest, ModelServiceStub, ModelVersionStatus
from serving.this_machine import proxy_options
from serving.versions import pushed_versions

HOST = "127.0.0.1"
LOCAL_SERVER = (sys.executable, "-m", "serving.server")
_WAIT_SECONDS = 120.0
_ENDED = (ModelVersionStatus.START, ModelVersionStatus.END)


@dataclass(frozen=True)
class Endpoint:
    """A model server.

    Attributes:
        grpc: host:port of gRPC.
        rest: host:port of REST, or None if REST is disabled.
        pid: process id, or None if the benchmark did not start the server.
        log: file with its output, or None if the benchmark did not start the server.
    """

    grpc: str
    rest: str | None
    pid: int | None = None
    log: Path | None = None

    @property
    def memory(self) -> float | None:
        """Current resident memory in MB."""
        return None if self.pid is None else psutil.Process(self.pid).memory_info().rss / 1e6


class LoadProcess:
    """A process of benchmarks.load. As a context manager, it ends the process on exit."""

    def __init__(self, items: Path):
        """Starts the process.

        Args:
            items: file with the texts to send. The output of the process is written to the same directory.
        """
        command = [sys.executable, "-m", "benchmarks.load", str(items)]
        with tempfile.NamedTemporaryFile(dir=items.parent, delete=False) as log:  # TensorFlow writes to stderr.
            self._log = Path(log.name)
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    @property
    def memory(self) -> float:
        """Current resident memory in MB."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def begin(self, load: Load) -> None:
        """Starts a load."""
        self._write(load.to_json())

    def stop(self) -> None:
        """Ends a load without a duration."""
        self._write("")

    def outcome(self) -> LoadResult:
        """Waits for the end of the load and returns its result.

        Raises:
            RunError: the process exited.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise RunError(f"a client process ended with exit status {status}:\n{_tail(self._log)}")
        return LoadResult(**json.loads(line))

    def run(self, load: Load) -> LoadResult:
        """Runs a load with a duration and returns its result."""
        self.begin(load)
        return self.outcome()

    def _write(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> "LoadProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def serving(command: tuple[str, ...], model: str, base_path: Path, *flags: str) -> Iterator[Endpoint]:
    """Runs a server process that is ready when the context is entered, and ends it on exit.

    Args:
        command: command of the server, without the flags of tensorflow_model_server.
        model: name of the model.
        base_path: directory of its versions. The log of the server is written next to it.
        flags: additional flags.

    Raises:
        RunError: the server exited, or was not ready after two minutes.
    """
    ports = _free_ports()
    port, rest_port = ports
    own = (f"--port={port}", f"--rest_api_port={rest_port}", f"--model_name={model}", f"--model_base_path={base_path}")
    log = base_path.with_name(f"{port}.log")
    with open(log, "wb") as output:
        process = subprocess.Popen([*command, *own, *flags], stdout=output, stderr=subprocess.STDOUT)
    endpoint = Endpoint(f"{HOST}:{port}", f"{HOST}:{rest_port}", process.pid, log)

    def ready() -> bool:
        if process.poll() is not None:
            raise RunError(f"{command[0]} ended with exit status {process.returncode}:\n{_log_end(endpoint)}")
        return bool(_served_versions(endpoint, model)) and all(map(_is_open, ports))

    try:
        _wait(ready, f"{command[0]} to serve", endpoint)
        yield endpoint
    finally:
        process.terminate()
        process.wait()


def swap(endpoint: Endpoint, model: str, base_path: Path) -> None:
    """Copies the newest version to the next number, waits until only that is served, and deletes the old version.

    Raises:
        RunError: the copy was not served after two minutes.
    """
    number = max(pushed_versions(base_path))
    old, new = base_path / str(number), base_path / str(number + 1)
    copied = base_path / f".{new.name}"
    shutil.copytree(old, copied)
    copied.rename(new)
    _wait(lambda: _served_versions(endpoint, model) == {new.name}, f"version {new.name} to be served", endpoint)
    shutil.rmtree(old)


def _served_versions(endpoint: Endpoint, model: str) -> set[str]:
    """Returns the loaded versions, or an empty set while a version is loading or the server does not answer."""
    request = GetModelStatusRequest()
    request.model_spec.name = model
    try:
        with grpc.insecure_channel(endpoint.grpc, proxy_options(endpoint.grpc)) as channel:
            response = ModelServiceStub(channel).GetModelStatus(request, timeout=5)
    except grpc.RpcError:
        return set()
    states = {str(status.version): status.state for status in response.model_version_status}
    present = {version for version, state in states.items() if state not in _ENDED}
    return present if all(states[version] == ModelVersionStatus.AVAILABLE for version in present) else set()


def _wait(condition: Callable[[], bool], what: str, endpoint: Endpoint) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RunError(f"waited {_WAIT_SECONDS:.0f} s for {what}; the end of its log:\n{_log_end(endpoint)}")
        time.sleep(0.1)


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for opened in (first, second):
            opened.bind((HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]


def _log_end(endpoint: Endpoint) -> str:
    return _tail(endpoint.log) if endpoint.log else ""


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
