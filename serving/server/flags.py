"""Command-line flags with the names of tensorflow_model_server, such as `--model_base_path=/models/agnews`.

Source: tensorflow/serving, model_servers/main.cc. Only this server has `--host`, `--request_log_…` and `--verify…`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import click

from serving.finite_range import FiniteRange


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Flags:
    """Values of the flags. Each attribute is a flag and is described by its help."""

    port: int = _flag(8500, "gRPC port. 0 selects a free port.")
    rest_api_port: int = _flag(-1, "REST port. 0 selects a free port, -1 disables REST.")
    host: str = _flag("127.0.0.1", "Address to listen on. 0.0.0.0 listens on all networks, as TensorFlow Serving does.")
    grpc_socket_path: str = _flag("", "Path of an additional Unix socket for gRPC.")
    grpc_channel_arguments: str = _flag(
        "", "Comma-separated gRPC channel arguments, e.g. grpc.max_receive_message_length=1000000."
    )
    grpc_max_threads: int = _flag(0, "gRPC requests to process at once. 0 selects a number automatically.")
    rest_api_num_threads: int = _flag(0, "REST requests to process at once. 0 selects a number automatically.")
    rest_api_timeout_in_ms: int = _flag(30_000, "Timeout of a REST request in milliseconds.")
    rest_api_enable_cors_support: bool = _flag(False, "Allow requests from web pages of other origins (CORS).")
    model_name: str = _flag("default", "Name of the model. Ignored with --model_config_file.")
    model_base_path: str = _flag("", "Directory of the version directories. Ignored with --model_config_file.")
    model_config_file: str = _flag("", "File with a ModelServerConfig in protobuf text format.")
    model_config_file_poll_wait_seconds: int = _flag(
        0, "Seconds between polls of --model_config_file. 0 reads it once."
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "Allow a new label to name a version that is not loaded yet."
    )
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between polls for new versions. 0 looks for versions once.")
    max_num_load_retries: int = _flag(5, "Number of retries after a version fails to load.")
    load_retry_interval_micros: int = _flag(60_000_000, "Microseconds between retries.")
    saved_model_tags: str = _flag("serve", "Comma-separated tags of the graph to load.")
    tensorflow_session_parallelism: int = _flag(0, "Number of threads per session. 0 uses one per core.")
    tensorflow_intra_op_parallelism: int = _flag(0, "Number of threads per operation. 0 uses one per core.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Number of operations to run at once. 0 uses one per core.")
    enable_batching: bool = _flag(False, "Run several requests as one batch.")
    batching_parameters_file: str = _flag("", "File with BatchingParameters in protobuf text format.")
    enable_model_warmup: bool = _flag(True, "Replay a version's warm-up requests before it serves.")
    num_request_iterations_for_warmup: int = _flag(1, "Number of times to run each warm-up request.")
    enable_signature_method_name_check: bool = _flag(
        False, "Reject Classify and Regress requests for signatures with another method name."
    )
    monitoring_config_file: str = _flag("", "File with a MonitoringConfig in protobuf text format.")
    ssl_config_file: str = _flag("", "File with an SSLConfig in protobuf text format. Enables TLS for gRPC.")
    request_log_keep_days: float = _flag(30.0, "Days to keep files of the request log.")
    request_log_directories: str = _flag(
        "",
        "Comma-separated directories below which a reload over gRPC may start request logs. Those of the configuration "
        "file are always allowed.",
    )
    verify: bool = _flag(False, "Load only versions whose files are as the audit log says they were pushed.")
    verify_log: str = _flag("", "Audit log for --verify. Unset: audit.jsonl next to the model's directory.")
    verify_public_key: str = _flag("", "PEM file of the Ed25519 key that must have signed each push. Implies --verify.")
    enable_grpc_healthcheck_service: bool = _flag(
        True, "Serve grpc.health.v1. TensorFlow Serving disables it by default."
    )


_NO_EFFECT = "has no effect on this server"
_NOT_READ = "is not supported: the file is not read"
_NOT_COMPILED = "is not supported: models are not compiled"
_IGNORED: dict[str, tuple[type, str]] = {
    "enable_per_model_batching_parameters": (bool, "is not supported: all models use --batching_parameters_file"),
    "enable_profiler": (bool, "is not supported: this server has no profiler service"),
    "enable_serialization_as_tensor_content": (
        bool,
        "is not supported: values are in the typed fields of a TensorProto",
    ),
    "flush_filesystem_caches": (bool, _NO_EFFECT),
    "mixed_precision": (str, "is not supported: a model computes in the precision that it was exported with"),
    "num_load_threads": (int, _NO_EFFECT),
    "num_tflite_interpreters_per_pool": (int, _NO_EFFECT),
    "num_tflite_pools": (int, _NO_EFFECT),
    "num_unload_threads": (int, _NO_EFFECT),
    "per_process_gpu_memory_fraction": (
        float,
        "is not supported: TensorFlow chooses the memory that it takes of a GPU",
    ),
    "platform_config_file": (str, _NOT_READ),
    "prefer_tflite_model": (bool, "is not supported: this server has no TensorFlow Lite and serves saved_model.pb"),
    "remove_unused_fields_from_bundle_metagraph": (bool, _NO_EFFECT),
    "skip_initialize_tpu": (bool, _NO_EFFECT),
    "tensorflow_session_config_file": (str, _NOT_READ),
    "thread_pool_factory_config_file": (str, _NOT_READ),
    "xla_cpu_compilation_enabled": (bool, _NOT_COMPILED),
    "xla_gpu_compilation_enabled": (bool, _NOT_COMPILED),
}
"""Flags of TensorFlow Serving that this server accepts with a warning: their types and warnings."""


def server_flags(command: Callable[[Flags], None]) -> Callable[..., None]:
    """Decorates a command that takes Flags with one click option per flag."""

    def wrapper(**values: Any) -> None:
        for name, (_, warning) in _IGNORED.items():
            if values.pop(name) not in (None, False):
                click.echo(f"warning: --{name} {warning}", err=True)
        if values.pop("use_alts_credentials"):
            raise click.UsageError("--use_alts_credentials: this server has no ALTS; use --ssl_config_file for TLS")
        command(Flags(**values))

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    decorated: Callable[..., None] = wrapper
    decorated = _option("use_alts_credentials", bool, hidden=True)(decorated)
    for name, (kind, _) in reversed(_IGNORED.items()):
        decorated = _option(name, kind, hidden=True)(decorated)
    decorated = click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Print the versions and exit.",
    )(decorated)
    for flag in reversed(dataclasses.fields(Flags)):
        decorated = _option(
            flag.name, type(flag.default), default=flag.default, show_default=True, help=flag.metadata["help"]
        )(decorated)
    return decorated


def _print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"agnews model server: {version('agnews-pipeline')}\nTensorFlow Library: {version('tensorflow')}")
        context.exit()


def _option(name: str, kind: type, **attributes: Any) -> Callable:
    if kind is bool:
        # Accepts `--enable_batching` and `--enable_batching=false`.
        attributes |= {"is_flag": False, "flag_value": "true"}
    checked = FiniteRange(min=0) if kind is float else kind
    return click.option(f"--{name}", name, type=checked, metavar=kind.__name__.upper(), **attributes)
