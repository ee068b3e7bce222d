"""Converts the flags, and the configuration files that they name, to options of the server's parts.

It does not import TensorFlow, so that a mistake in a flag is reported at once.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
from tensorflow_serving.config import model_server_config_pb2

from schema.errors import SettingsError
from schema.paths import refuse_wildcards
from serving.audit import AUDIT_FILE, AuditLog, breaks
from serving.audit.signature import read_public_key
from serving.server import config
from serving.server.batching import BatchingOptions
from serving.server.flags import Flags
from serving.server.metrics import METRICS_PATH
from serving.verify import check_version

_MAX_RECEIVE = "grpc.max_receive_message_length"
# Enough for a batch of very long texts. TensorFlow Serving has no limit.
_MAX_MESSAGE_BYTES = 64 << 20
_CHANNEL_ARGUMENTS: dict[str, int | str] = {
    _MAX_RECEIVE: _MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": -1,
    # Otherwise two servers could listen on the same port, and each would get some of the requests.
    "grpc.so_reuseport": 0,
}
_MAX_THREADS = 128
_RANGES = {
    # gRPC uses a larger port modulo 65,536.
    "port": (0, 65_535),
    "rest_api_port": (-1, 65_535),
    "grpc_max_threads": (0, 10_000),
    "rest_api_num_threads": (0, 10_000),
    "rest_api_timeout_in_ms": (1, 86_400_000),
    "file_system_poll_wait_seconds": (0, 86_400),
    "tensorflow_session_parallelism": (0, 10_000),
    "tensorflow_intra_op_parallelism": (0, 10_000),
    "tensorflow_inter_op_parallelism": (0, 10_000),
}


@dataclass(frozen=True)
class ManagerOptions:
    """Options for polling, retries and labels.

    Attributes:
        poll_seconds: seconds between two polls of the base paths. With 0 the manager reads them once.
        load_retries: number of retries after a failed load.
        retry_seconds: seconds between two tries. A version whose files change is retried immediately.
        labels_for_unavailable: whether a new label may name a version that is not loaded yet.
    """

    poll_seconds: float = 1.0
    load_retries: int = 5
    retry_seconds: float = 60.0
    labels_for_unavailable: bool = False


@dataclass(frozen=True)
class SessionOptions:
    """Options of a TensorFlow session.

    Attributes:
        tags: tags of the graph to load from the SavedModel.
        intra_op_threads: number of threads per operation. 0 uses one per core.
        inter_op_threads: number of operations to run at once. 0 uses one per core.
    """

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0


@dataclass(frozen=True)
class ServerOptions:
    """Options of the server's parts.

    Attributes:
        models: initial model configuration.
        manager: options of the version manager.
        session: options of the TensorFlow sessions.
        batching: options of batching, or None to run each request alone.
        credentials: certificates of gRPC, or None to serve without TLS.
        channel_arguments: gRPC channel arguments by name.
        max_request_bytes: maximum size of a gRPC or REST request.
        metrics_path: URL path of the metrics, or None to disable them.
        threads: number of requests to process at once, for gRPC and for REST.
        log_directories: directories below which a reload may start request logs.
        find_tampering: returns how the directory of a version differs from its push, one text per finding.
    """

    models: model_server_config_pb2.ModelServerConfig
    manager: ManagerOptions
    session: SessionOptions
    batching: BatchingOptions | None
    credentials: grpc.ServerCredentials | None
    channel_arguments: dict[str, int | str]
    max_request_bytes: int
    metrics_path: str | None
    threads: int
    log_directories: tuple[Path, ...]
    find_tampering: Callable[[Path], list[str]]


def from_flags(flags: Flags) -> ServerOptions:
    """Reads the flags and the files that they name.

    Raises:
        SettingsError: a flag or a file has an invalid value, or two of them contradict each other.
    """
    for name, (lowest, highest) in _RANGES.items():
        if not lowest <= getattr(flags, name) <= highest:
            raise SettingsError(f"--{name}={getattr(flags, name)}: expected {lowest} to {highest:,}")
    if flags.tensorflow_session_parallelism and (
        flags.tensorflow_intra_op_parallelism or flags.tensorflow_inter_op_parallelism
    ):
        raise SettingsError(
            "--tensorflow_session_parallelism sets both numbers of threads: remove it, or remove "
            "--tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism"
        )
    if flags.grpc_socket_path and not (directory := Path(flags.grpc_socket_path).parent).is_dir():
        raise SettingsError(f"--grpc_socket_path: {directory}: no such directory")
    batching = _batching(flags)
    channel_arguments = _CHANNEL_ARGUMENTS | _channel_arguments(flags.grpc_channel_arguments)
    models = _models(flags)
    return ServerOptions(
        models=models,
        manager=ManagerOptions(
            poll_seconds=flags.file_system_poll_wait_seconds,
            load_retries=flags.max_num_load_retries,
            retry_seconds=flags.load_retry_interval_micros / 1e6,
            labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        ),
        session=SessionOptions(
            tags=tuple(flags.saved_model_tags.split(",")),
            intra_op_threads=flags.tensorflow_intra_op_parallelism
            or flags.tensorflow_session_parallelism
            or _intra_op_threads(batching),
            inter_op_threads=flags.tensorflow_inter_op_parallelism or flags.tensorflow_session_parallelism,
        ),
        batching=batching,
        credentials=_credentials(flags),
        channel_arguments=channel_arguments,
        max_request_bytes=_max_request_bytes(channel_arguments[_MAX_RECEIVE]),
        metrics_path=_metrics_path(flags),
        threads=_threads(batching),
        log_directories=(
            *(Path(directory) for directory in flags.request_log_directories.split(",") if directory),
            *config.log_directories(models).values(),
        ),
        find_tampering=_verification(flags),
    )


def _models(flags: Flags) -> model_server_config_pb2.ModelServerConfig:
    if flags.model_config_file:
        models = config.read(flags.model_config_file, config.ModelServerConfig)
        for model in models.model_config_list.config:
            refuse_wildcards(f"{flags.model_config_file}: base_path", model.base_path)
        return models
    if not flags.model_base_path:
        raise SettingsError(
            "no model to serve: set --model_base_path to the directory that contains the version directories, or set "
            "--model_config_file"
        )
    refuse_wildcards("--model_base_path", flags.model_base_path)
    return config.single_model(flags.model_name, flags.model_base_path)


def _verification(flags: Flags) -> Callable[[Path], list[str]]:
    if not (flags.verify or flags.verify_log or flags.verify_public_key):
        return lambda directory: []
    key = read_public_key(Path(flags.verify_public_key)) if flags.verify_public_key else None

    def find_tampering(directory: Path) -> list[str]:
        log = AuditLog(Path(flags.verify_log) if flags.verify_log else directory.parents[1] / AUDIT_FILE)
        return [*breaks(log.lines()), *check_version(directory, log, key)]

    return find_tampering


def _batching(flags: Flags) -> BatchingOptions | None:
    path = flags.batching_parameters_file
    if not flags.enable_batching:
        if path:
            raise SettingsError("--batching_parameters_file is set without --enable_batching: set both or neither")
        return None
    if path:
        parameters = config.read(path, config.BatchingParameters)
    else:
        parameters = config.BatchingParameters(thread_pool_name={"value": "model_server_batch_threads"})
    return BatchingOptions.from_proto(parameters, cores())


def _credentials(flags: Flags) -> grpc.ServerCredentials | None:
    if not flags.ssl_config_file:
        return None
    ssl = config.read(flags.ssl_config_file, config.SSLConfig)
    if not (ssl.server_key and ssl.server_cert):
        raise SettingsError(f"{flags.ssl_config_file} needs server_key and server_cert in PEM format")
    if ssl.client_verify and not ssl.custom_ca:
        raise SettingsError(f"{flags.ssl_config_file} has client_verify: set custom_ca to the clients' CA certificate")
    credentials = grpc.ssl_server_credentials(
        [(ssl.server_key.encode(), ssl.server_cert.encode())],
        root_certificates=ssl.custom_ca.encode() or None,
        require_client_auth=ssl.client_verify,
    )
    try:  # gRPC reads the certificates only for a port.
        grpc.server(ThreadPoolExecutor(1)).add_secure_port("127.0.0.1:0", credentials)
    except RuntimeError as error:
        raise SettingsError(
            f"{flags.ssl_config_file}: the key or a certificate is invalid: give their contents in PEM format"
        ) from error
    return credentials


def _metrics_path(flags: Flags) -> str | None:
    if not flags.monitoring_config_file:
        return METRICS_PATH
    prometheus = config.read(flags.monitoring_config_file, config.MonitoringConfig).prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else None


def _channel_arguments(given: str) -> dict[str, int | str]:
    arguments: dict[str, int | str] = {}
    for pair in filter(None, given.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--grpc_channel_arguments: expected KEY=VALUE, got {pair!r}")
        arguments[key] = int(value) if value.lstrip("-").isdecimal() else value
    return arguments


def _max_request_bytes(given: int | str) -> int:
    if isinstance(given, str):
        raise SettingsError(
            f"--grpc_channel_arguments: {_MAX_RECEIVE} must be a number of bytes, or -1 for no limit, got {given!r}"
        )
    return given if given >= 0 else sys.maxsize


def _intra_op_threads(batching: BatchingOptions | None) -> int:
    """Returns the default number of threads per operation. 0 lets TensorFlow choose.

    With one batch per core, more threads slow each other down. For batches of 32 texts on 2 cores: 6,900 texts/s with
    one thread per operation, 4,500 with two.
    """
    return 1 if batching and batching.num_batch_threads >= cores() else 0


def _threads(batching: BatchingOptions | None) -> int:
    """Returns the number of requests to process at once.

    It is TensorFlow Serving's number. With batching it is large enough that the next batch can fill while one runs.
    """
    default = 4 * cores()
    return max(default, min(2 * batching.max_batch_size, _MAX_THREADS)) if batching else default


def cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
