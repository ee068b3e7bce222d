"""Builds the model server from its flags, starts it and stops it."""

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from schema.errors import RunError, SettingsError
from serving.server import config, options
from serving.server.batching import Batcher
from serving.server.errors import RequestError, failed_precondition_error
from serving.server.flags import Flags
from serving.server.grpc_service import GrpcServer
from serving.server.inference import warm_up
from serving.server.manager import Manager
from serving.server.memory import require_memory
from serving.server.metrics import Metrics
from serving.server.request_log import LocalModels, RequestLog
from serving.server.rest import RestApi, RestServer
from serving.server.servable import Servable
from serving.server.service import InferenceService

_log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0


class ModelServer:
    """A model server in this process. As a context manager, it starts on entry and stops on exit.

    Attributes:
        grpc_port: port of gRPC.
        rest_port: port of REST, or None if REST is disabled.
    """

    def __init__(self, flags: Flags):
        """Reads the configuration files and starts to load the models in the background.

        Raises:
            SettingsError: a flag or a file has an invalid value, or two of them contradict each other.
        """
        self._flags = flags
        self._options = options.from_flags(flags)
        self._metrics = Metrics()
        batching = self._options.batching
        self._batcher = Batcher(batching, self._metrics) if batching else None
        self._stopping = threading.Event()
        self._manager = Manager(self._load, self._options.manager, self._metrics.forget_version)
        self._request_log = RequestLog(LocalModels(self._manager), self._metrics, keep_days=flags.request_log_keep_days)
        self._service = InferenceService(
            self._manager,
            self._batcher,
            self._metrics,
            self._request_log,
            check_method=flags.enable_signature_method_name_check,
            log_directories=self._options.log_directories,
        )
        self._grpc: GrpcServer | None = None
        self._rest: RestServer | None = None
        try:
            self._manager.apply(self._options.models, expect_versions=False)
        except RequestError as error:
            self.stop()
            raise SettingsError(f"the models cannot be served: {error.code.name}: {error.message}") from error

    @property
    def grpc_port(self) -> int:
        assert self._grpc is not None
        return self._grpc.port

    @property
    def rest_port(self) -> int | None:
        return self._rest.port if self._rest else None

    def start(self, release_ports: Callable[[], None] = lambda: None) -> None:
        """Waits until each model serves a version, then opens the ports.

        Args:
            release_ports: called right before the ports are opened.

        Raises:
            RunError: a model cannot be loaded, or a port cannot be opened.
        """
        try:
            self._manager.wait_available()
            release_ports()
            self._open_ports()
        except (RequestError, RunError, RuntimeError) as error:
            # With the grace period, because a thread that frees a model during interpreter shutdown aborts the process.
            self.stop()
            raise RunError(f"the server did not start: {error}") from error
        if self._flags.model_config_file and self._flags.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_config_file, name="config", daemon=True).start()

    def describe(self) -> dict[str, object]:
        """Returns the host, the ports and the served versions by model."""
        return {
            "event": "ready",
            "host": self._flags.host,
            "grpc_port": self.grpc_port,
            "rest_api_port": self.rest_port,
            "models": self._manager.available(),
        }

    def failures(self) -> dict[str, dict[int, dict[str, str]]]:
        """Returns code and message of each version that could not be loaded, by model and number."""
        return {
            model: {number: {"code": error.code.name, "message": error.message} for number, error in versions.items()}
            for model, versions in self._manager.failures().items()
        }

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> bool:
        """Rejects new requests, waits up to `grace_seconds` for those in flight, and unloads the models.

        Returns:
            Whether everything has finished. Otherwise threads still load or run models.
        """
        deadline = time.monotonic() + grace_seconds
        self._stopping.set()
        listeners = [
            threading.Thread(target=listener.stop, args=[grace_seconds])
            for listener in (self._rest, self._grpc)
            if listener
        ]
        for thread in listeners:
            thread.start()
        for thread in listeners:
            thread.join()
        # Before the models are unloaded, because the log counts the tokens of queued texts with them.
        self._request_log.close(max(deadline - time.monotonic(), 0))
        finished = self._manager.close(max(deadline - time.monotonic(), 0))
        if self._batcher and finished:
            self._batcher.close()
        return finished

    def __enter__(self) -> "ModelServer":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _open_ports(self) -> None:
        flags = self._flags
        self._grpc = GrpcServer(
            self._service,
            host=flags.host,
            port=flags.port,
            socket_path=flags.grpc_socket_path or None,
            threads=flags.grpc_max_threads or self._options.threads,
            options=self._options.channel_arguments,
            credentials=self._options.credentials,
            health_service=flags.enable_grpc_healthcheck_service,
        )
        if flags.rest_api_port >= 0:
            api = RestApi(
                self._service,
                self._metrics,
                threads=flags.rest_api_num_threads or self._options.threads,
                timeout_seconds=flags.rest_api_timeout_in_ms / 1000,
                max_bytes=self._options.max_request_bytes,
                metrics_path=self._options.metrics_path,
                cors=flags.rest_api_enable_cors_support,
            )
            self._rest = RestServer(api, flags.host, flags.rest_api_port)
            self._rest.start()
        self._grpc.start()

    def _load(self, model: str, version: int, directory: str) -> Servable:
        flags = self._flags
        try:
            # A file that changes after this check was replaced by somebody who can write there at any time.
            if findings := self._options.find_tampering(Path(directory)):
                raise failed_precondition_error(f"{directory} is not what was pushed: {'; '.join(findings)}")
            if any(self._manager.available().values()):  # A server with nothing to serve tries in any case.
                require_memory(directory)
            started = time.monotonic()
            servable = Servable(directory, self._options.session)
        except BaseException:
            self._metrics.load_attempts.labels(directory, "fail").inc()
            raise
        self._metrics.load_attempts.labels(directory, "success").inc()
        self._metrics.load_latency.labels(directory).inc((time.monotonic() - started) * 1e6)
        try:
            if flags.enable_model_warmup:
                iterations = max(flags.num_request_iterations_for_warmup, 1)
                warm_up(servable, model, version, iterations, self._metrics)
        except BaseException:
            servable.close()
            raise
        if servable.mlmd_uuid:
            self._metrics.mlmd.labels(model, str(version), servable.mlmd_uuid).set(1)
        return servable

    def _poll_config_file(self) -> None:
        path = self._flags.model_config_file
        while not self._stopping.wait(self._flags.model_config_file_poll_wait_seconds):
            try:
                read = config.read(path, config.ModelServerConfig)
                # A comparison with the configuration in effect also overrides a reload over gRPC, as TF Serving does.
                if read != self._manager.config:
                    self._manager.apply(read, expect_versions=True)
                    _log.info("configuration reloaded file=%s", path)
            except (SettingsError, RequestError) as error:
                _log.error("configuration kept file=%s error=%s", path, error)


def run(flags: Flags, release_ports: Callable[[], None]) -> None:
    """Serves models until SIGTERM or SIGINT, and prints a line of JSON to stdout when the server is ready.

    If models cannot be loaded, it prints a line of JSON with the failed versions and their errors instead.

    Args:
        flags: flags of the server.
        release_ports: called right before the ports are opened.

    Raises:
        AgNewsError: the server cannot start.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    stop_requested = threading.Event()

    def request_stop(*_: object) -> None:
        stop_requested.set()  # The code that the signal interrupts may swallow the exception.
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    # Exclude imported modules from garbage collection, so that the collection after an unload pauses requests briefly.
    gc.collect()
    gc.freeze()
    server = ModelServer(flags)
    try:
        try:
            server.start(release_ports)
        except RunError:
            if failures := server.failures():
                click.echo(json.dumps({"event": "failed", "models": failures}))
            raise
        click.echo(json.dumps(server.describe()))
        stop_requested.wait()
    finally:
        # A second signal interrupts the wait for requests in flight.
        if not server.stop(GRACE_SECONDS):
            _log.warning("requests were still running after %.0f s", GRACE_SECONDS)
        if stop_requested.is_set():
            # Without the end of the interpreter, which aborts if a thread is still in TensorFlow, and ends with a
            # segmentation fault if a destructor uses a protobuf message after protobuf's module was cleared.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
