"""The server put together from its flags, started and stopped."""

import gc
import json
import logging
import signal
import threading

import click

from schema.errors import RunError, SettingsError
from serving.server import config, options
from serving.server.batching import Batcher
from serving.server.flags import Flags
from serving.server.grpc_service import GrpcServer
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.request_log import RequestLog
from serving.server.rest import RestApi, RestServer
from serving.server.servable import Servable
from serving.server.service import Service
from serving.server.status import RequestError
from serving.server.warmup import warm_up

_log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0


class ModelServer:
    """A model server in this process; a context manager that starts and stops it.

    Attributes:
        grpc_port: where gRPC listens.
        rest_port: where REST listens, or None.
    """

    def __init__(self, flags: Flags):
        """Reads the configuration files and begins to load the models.

        Raises:
            SettingsError: flags or files contradict each other or ask for what cannot be done.
        """
        self._flags = flags
        self._options = options.from_flags(flags)
        self._metrics = Metrics()
        batching = self._options.batching
        self._batcher = Batcher(batching, self._metrics) if batching else None
        self._stopping = threading.Event()
        self._manager = Manager(self._load, self._options.manager, self._metrics.forget_version)
        self._request_log = RequestLog(self._manager, self._metrics, keep_days=flags.request_log_keep_days)
        self._service = Service(
            self._manager,
            self._batcher,
            self._metrics,
            self._request_log,
            check_method=flags.enable_signature_method_name_check,
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

    def start(self) -> None:
        """Waits until each model has a version that serves, then opens the ports.

        Raises:
            RunError: a model cannot be loaded, or a port is taken.
        """
        try:
            self._manager.wait_available()
            self._open_ports()
        except (RequestError, RunError, RuntimeError) as error:
            # With the grace: a thread that still frees a model while the interpreter ends would abort the process.
            self.stop()
            raise RunError(f"the server did not start: {error}") from error
        if self._flags.model_config_file and self._flags.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_config_file, name="config", daemon=True).start()

    def described(self) -> dict[str, object]:
        """Where it listens and what it serves: host, ports, versions by model."""
        return {
            "event": "ready",
            "host": self._flags.host,
            "grpc_port": self.grpc_port,
            "rest_api_port": self.rest_port,
            "models": self._manager.available(),
        }

    def failures(self) -> dict[str, dict[int, dict[str, str]]]:
        """The versions that could not be loaded, with code and message, by model."""
        return {
            model: {number: {"code": error.code.name, "message": error.message} for number, error in versions.items()}
            for model, versions in self._manager.failures().items()
        }

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Refuses new requests, waits for those in flight as long as the grace, and frees the models."""
        self._stopping.set()
        for listener in (self._rest, self._grpc):
            if listener:
                listener.stop(grace_seconds)
        # Before the models go: it asks them about the texts that still wait.
        self._request_log.close(grace_seconds)
        self._manager.close(grace_seconds)
        if self._batcher:
            self._batcher.close()

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
            ssl=self._options.ssl,
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
            servable = Servable(directory, self._options.session)
        except BaseException:
            self._metrics.load_attempts.labels(directory, "fail").inc()
            raise
        self._metrics.load_attempts.labels(directory, "success").inc()
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
                # Compared with what is in effect, so that a reload over gRPC is overridden, as in the real server.
                if read != self._manager.config:
                    self._manager.apply(read, expect_versions=True)
                    _log.info("configuration reloaded file=%s", path)
            except (SettingsError, RequestError) as error:
                _log.error("configuration kept file=%s error=%s", path, error)


def run(flags: Flags) -> None:
    """Serves until SIGTERM or SIGINT; one line of JSON on stdout says when, where and what it serves.

    Where models could not be loaded, the line says which versions and why, and the server ends.

    Raises:
        AgNewsError: it cannot.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    told_to_end = threading.Event()

    def end(*_: object) -> None:
        told_to_end.set()  # Whatever runs just now may drop the exception.
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # What was imported stays: an unload then looks through the model's objects alone, and stops requests for less.
    gc.collect()
    gc.freeze()
    server = ModelServer(flags)
    try:
        try:
            server.start()
        except RunError:
            if failures := server.failures():
                click.echo(json.dumps({"event": "failed", "models": failures}))
            raise
        click.echo(json.dumps(server.described()))
        told_to_end.wait()
    finally:
        # A second signal does not wait for the requests in flight.
        server.stop()
