"""The processes of `make bench-serve`: model servers, and the clients that ask them."""

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

from benchmarks.load import Load, Outcome
from schema.errors import RunError
from serving.client.protos import GetModelStatusRequest, ModelServiceStub, ModelVersionStatus
from serving.this_machine import proxy_options

HOST = "127.0.0.1"
LOCAL_SERVER = (sys.executable, "-m", "serving.server")
_WAIT_SECONDS = 120.0
_ENDED = (ModelVersionStatus.START, ModelVersionStatus.END)


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens: host:port over gRPC and REST; no REST where `rest` is None.

    `pid` is its process and `log` what it says, None for a server that this benchmark did not start.
    """

    grpc: str
    rest: str | None
    pid: int | None = None
    log: Path | None = None

    @property
    def memory(self) -> float | None:
        """Resident memory now, MB."""
        return None if self.pid is None else psutil.Process(self.pid).memory_info().rss / 1e6


class LoadProcess:
    """A process of benchmarks.load: a context manager that ends it."""

    def __init__(self, items: Path):
        """`items` is the file of texts that it sends; what it says is kept beside it."""
        command = [sys.executable, "-m", "benchmarks.load", str(items)]
        with tempfile.NamedTemporaryFile(dir=items.parent, delete=False) as log:  # TensorFlow talks.
            self._log = Path(log.name)
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    @property
    def memory(self) -> float:
        """Resident memory now, MB."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def begin(self, load: Load) -> None:
        """Starts a load."""
        self._write(load.to_json())

    def stop(self) -> None:
        """Ends a load that has no end of its own."""
        self._write("")

    def outcome(self) -> Outcome:
        """Waits for the load's end.

        Raises:
            RunError: the process died.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise RunError(f"a process of clients ended with exit status {status}:\n{_tail(self._log)}")
        return Outcome(**json.loads(line))

    def run(self, load: Load) -> Outcome:
        """A load with an end, from start to end."""
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
    """A server as a process; it serves when the context is entered and ends with it.

    Args:
        command: starts it; it takes the flags of tensorflow_model_server.
        model: name of the model.
        base_path: directory of its versions; the server's log is written beside it.
        flags: more of them.

    Raises:
        RunError: it ended, or served nothing in two minutes.
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
            raise RunError(f"{command[0]} ended with exit status {process.returncode}:\n{_said(endpoint)}")
        return bool(_served(endpoint, model)) and all(map(_listens, ports))

    try:
        _wait(ready, f"{command[0]} to serve", endpoint)
        yield endpoint
    finally:
        process.terminate()
        process.wait()


def swap(endpoint: Endpoint, model: str, base_path: Path) -> None:
    """Pushes the newest version again under the next number, waits until it alone is served, deletes the old one.

    Raises:
        RunError: it was not served in two minutes.
    """
    number = max(int(path.name) for path in base_path.iterdir() if path.name.isdecimal())
    old, new = base_path / str(number), base_path / str(number + 1)
    copied = base_path / f".{new.name}"
    shutil.copytree(old, copied)
    copied.rename(new)
    _wait(lambda: _served(endpoint, model) == {new.name}, f"version {new.name} to be served", endpoint)
    shutil.rmtree(old)


def _served(endpoint: Endpoint, model: str) -> set[str]:
    """Versions that are loaded or about to be; empty as long as one is loading, or nobody answers."""
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
            raise RunError(f"waited {_WAIT_SECONDS:.0f} s in vain for {what}; its log ends with\n{_said(endpoint)}")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex((HOST, port)) == 0


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for opened in (first, second):
            opened.bind((HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]


def _said(endpoint: Endpoint) -> str:
    return _tail(endpoint.log) if endpoint.log else ""


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
