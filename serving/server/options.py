"""What the flags and the files they name come to."""

import os
import sys
from dataclasses import dataclass
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from schema.errors import SettingsError
from schema.paths import refuse_wildcards
from serving.server import config
from serving.server.batching import BatchingOptions
from serving.server.flags import Flags
from serving.server.manager import ManagerOptions
from serving.server.servable import SessionOptions

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
_MAX_RECEIVE = "grpc.max_receive_message_length"
# Room for a batch of very long texts; the real server takes any size.
_MAX_MESSAGE_BYTES = 64 << 20
_CHANNEL_ARGUMENTS: dict[str, int | str] = {
    _MAX_RECEIVE: _MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": _MAX_MESSAGE_BYTES,
    # Two servers on one port would each get a share of the requests.
    "grpc.so_reuseport": 0,
}
_MAX_THREADS = 128
_RANGES = {
    # gRPC would take the remainder of a larger one.
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
class Options:
    """Options of the server's parts.

    Attributes:
        models: the configuration to begin with.
        manager: of the versions.
        session: of the graphs.
        batching: None runs each request alone.
        ssl: the SSLConfig of gRPC; None serves plain text.
        channel_arguments: of gRPC.
        max_request_bytes: of a request, gRPC or REST.
        metrics_path: URL path of the metrics; None shows none.
        threads: requests worked on at once, over gRPC and over REST each.
    """

    models: model_server_config_pb2.ModelServerConfig
    manager: ManagerOptions
    session: SessionOptions
    batching: BatchingOptions | None
    ssl: Any
    channel_arguments: dict[str, int | str]
    max_request_bytes: int
    metrics_path: str | None
    threads: int


def from_flags(flags: Flags) -> Options:
    """Reads the files that the flags name.

    Raises:
        SettingsError: a flag or file asks for what cannot be done, or they contradict each other.
    """
    for name, (lowest, highest) in _RANGES.items():
        if not lowest <= getattr(flags, name) <= highest:
            raise SettingsError(f"--{name}={getattr(flags, name)}: expected {lowest} to {highest:,}")
    batching = _batching(flags)
    channel_arguments = _CHANNEL_ARGUMENTS | _channel_arguments(flags.grpc_channel_arguments)
    return Options(
        models=_models(flags),
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
        ssl=_ssl(flags),
        channel_arguments=channel_arguments,
        max_request_bytes=_max_request_bytes(channel_arguments[_MAX_RECEIVE]),
        metrics_path=_metrics_path(flags),
        threads=_threads(batching),
    )


def _models(flags: Flags) -> model_server_config_pb2.ModelServerConfig:
    if flags.model_config_file:
        models = config.read(flags.model_config_file, config.ModelServerConfig)
        for model in models.model_config_list.config:
            refuse_wildcards(f"{flags.model_config_file}: base_path", model.base_path)
        return models
    if not flags.model_base_path:
        raise SettingsError(
            "nothing to serve: give --model_base_path, the directory above the versions' own, or --model_config_file"
        )
    refuse_wildcards("--model_base_path", flags.model_base_path)
    return config.single_model(flags.model_name, flags.model_base_path)


def _batching(flags: Flags) -> BatchingOptions | None:
    path = flags.batching_parameters_file
    if not flags.enable_batching:
        if path:
            raise SettingsError("--batching_parameters_file is set without --enable_batching: set both or neither")
        return None
    parameters = config.read(path, config.BatchingParameters) if path else config.BatchingParameters()
    return BatchingOptions.from_proto(parameters, cores())


def _ssl(flags: Flags) -> Any:
    if not flags.ssl_config_file:
        return None
    ssl = config.read(flags.ssl_config_file, config.SSLConfig)
    if not (ssl.server_key and ssl.server_cert):
        raise SettingsError(f"{flags.ssl_config_file} needs server_key and server_cert, both in PEM")
    if ssl.client_verify and not ssl.custom_ca:
        raise SettingsError(f"{flags.ssl_config_file} asks for clients' certificates: name their authority, custom_ca")
    return ssl


def _metrics_path(flags: Flags) -> str | None:
    if not flags.monitoring_config_file:
        return DEFAULT_METRICS_PATH
    prometheus = config.read(flags.monitoring_config_file, config.MonitoringConfig).prometheus_config
    return (prometheus.path or DEFAULT_METRICS_PATH) if prometheus.enable else None


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
            f"--grpc_channel_arguments: {_MAX_RECEIVE} is a number of bytes, -1 without limit: {given!r}"
        )
    return given if given >= 0 else sys.maxsize


def _intra_op_threads(batching: BatchingOptions | None) -> int:
    """With a batch a core, threads within an operation get in each other's way; 0 lets TensorFlow choose.

    Batches of 32 texts on 2 cores: 6,900 texts/s with one thread each, 4,500 with two.
    """
    return 1 if batching and batching.num_batch_threads >= cores() else 0


def _threads(batching: BatchingOptions | None) -> int:
    """As many as the real server's; with batching, enough that a batch can fill while the next one gathers."""
    usual = 4 * cores()
    return max(usual, min(2 * batching.max_batch_size, _MAX_THREADS)) if batching else usual


def cores() -> int:
    """The CPU cores this process may use."""
    return len(os.sched_getaffinity(0))
