"""The flags of tensorflow_model_server, spelt as there: `--model_base_path=/models/agnews`, or with a space.

Source: tensorflow/serving, model_servers/main.cc. `--host` and `--request_log_keep_days` are our own.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Flags:
    """What the server is told to do; each attribute is a flag, its help says what it means."""

    port: int = _flag(8500, "gRPC port; 0 takes a free one.")
    rest_api_port: int = _flag(-1, "REST port; 0 takes a free one, -1 serves no REST.")
    host: str = _flag("127.0.0.1", "Address to listen on; 0.0.0.0 for every network, as the real server does.")
    grpc_socket_path: str = _flag("", "Unix socket for gRPC as well.")
    grpc_channel_arguments: str = _flag("", "KEY=VALUE,… of gRPC, e.g. grpc.max_receive_message_length=1000000.")
    grpc_max_threads: int = _flag(0, "gRPC requests worked on at once; 0 chooses.")
    rest_api_num_threads: int = _flag(0, "REST requests worked on at once; 0 chooses.")
    rest_api_timeout_in_ms: int = _flag(30_000, "Milliseconds a REST request may take.")
    rest_api_enable_cors_support: bool = _flag(False, "Let pages of other origins ask.")
    model_name: str = _flag("default", "Name of the model, without --model_config_file.")
    model_base_path: str = _flag("", "Directory of the model's versions, without --model_config_file.")
    model_config_file: str = _flag("", "ModelServerConfig in protobuf's text format.")
    model_config_file_poll_wait_seconds: int = _flag(0, "Seconds between looks at that file; 0 looks once.")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "Let a new label name a version that is not loaded yet."
    )
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between looks for versions; 0 looks once.")
    max_num_load_retries: int = _flag(5, "Tries to load a version after the first.")
    load_retry_interval_micros: int = _flag(60_000_000, "Microseconds between tries.")
    saved_model_tags: str = _flag("serve", "Tags of the graph, comma-separated.")
    tensorflow_session_parallelism: int = _flag(0, "Threads of a session; 0 takes one a core.")
    tensorflow_intra_op_parallelism: int = _flag(0, "Threads of one operation; 0 takes one a core.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Operations at once; 0 takes one a core.")
    enable_batching: bool = _flag(False, "Run requests together.")
    batching_parameters_file: str = _flag("", "BatchingParameters in protobuf's text format.")
    enable_model_warmup: bool = _flag(True, "Replay a version's warm-up requests before it serves.")
    num_request_iterations_for_warmup: int = _flag(1, "How often each of them is run.")
    enable_signature_method_name_check: bool = _flag(
        True, "Let Classify and Regress use signatures of their own method alone."
    )
    monitoring_config_file: str = _flag("", "MonitoringConfig in protobuf's text format.")
    ssl_config_file: str = _flag("", "SSLConfig in protobuf's text format, for gRPC.")
    request_log_keep_days: float = _flag(30.0, "Days after which files of the request log are removed.")
    enable_grpc_healthcheck_service: bool = _flag(True, "Serve grpc.health.v1; off by default in the real server.")


IGNORED = {
    "enable_per_model_batching_parameters": bool,
    "enable_profiler": bool,
    "enable_serialization_as_tensor_content": bool,
    "flush_filesystem_caches": bool,
    "mixed_precision": str,
    "num_load_threads": int,
    "num_tflite_interpreters_per_pool": int,
    "num_tflite_pools": int,
    "num_unload_threads": int,
    "per_process_gpu_memory_fraction": float,
    "platform_config_file": str,
    "prefer_tflite_model": bool,
    "remove_unused_fields_from_bundle_metagraph": bool,
    "skip_initialize_tpu": bool,
    "tensorflow_session_config_file": str,
    "thread_pool_factory_config_file": str,
    "use_alts_credentials": bool,
    "xla_cpu_compilation_enabled": bool,
    "xla_gpu_compilation_enabled": bool,
}
"""Flags of the real server that make no difference here: accepted with a warning."""


def server_flags(command: Callable[[Flags], None]) -> Callable[..., None]:
    """Decorates a function of Flags with their click options; a misspelt flag is refused with the nearest one."""

    def wrapper(**values: Any) -> None:
        for name in IGNORED:
            if values.pop(name) is not None:
                click.echo(f"warning: --{name} makes no difference to this server", err=True)
        command(Flags(**values))

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    decorated: Callable[..., None] = wrapper
    for name, kind in reversed(IGNORED.items()):
        decorated = _option(name, kind, hidden=True)(decorated)
    for flag in reversed(dataclasses.fields(Flags)):
        decorated = _option(
            flag.name, type(flag.default), default=flag.default, show_default=True, help=flag.metadata["help"]
        )(decorated)
    return decorated


def _option(name: str, kind: type, **attributes: Any) -> Callable:
    if kind is bool:
        # `--enable_batching` alone, or with a value: `--enable_batching=false`.
        attributes |= {"is_flag": False, "flag_value": "true"}
    return click.option(f"--{name}", name, type=kind, metavar=kind.__name__.upper(), **attributes)
