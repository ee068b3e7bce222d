"""Reads TensorFlow Serving's configuration files in protobuf text format.

tensorflow-serving-api contains only ModelServerConfig. The other three messages are defined here with the names,
numbers and types of tensorflow/serving: servables/tensorflow/session_bundle_config.proto,
config/monitoring_config.proto and config/ssl_config.proto. So protobuf's parser can read all of them, and its errors
include line and column.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from schema.errors import SettingsError
from schema.files import read_small_file

_PACKAGE = "agnews.serving"
_FIELDS = {
    "BatchingParameters": {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
}
REQUEST_LOG_TYPE = "tfrecord_features"
"""The only `log_collector_config.type` that this server supports."""

_NO_TYPE = model_server_config_pb2.MODEL_TYPE_UNSPECIFIED
_SCALARS = {"bool", "string", "int64"}


def _classes() -> dict[str, Any]:
    assert wrappers_pb2.DESCRIPTOR  # The import registers the wrapper types in the pool.
    file = descriptor_pb2.FileDescriptorProto(
        name="agnews/serving/config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    kind = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, type_name) in fields.items():
            label = kind.LABEL_REPEATED if type_name.startswith("repeated ") else kind.LABEL_OPTIONAL
            scalar = type_name.removeprefix("repeated ")
            added = message.field.add(name=field, number=number, label=label)
            if scalar in _SCALARS:
                added.type = kind.Type.Value(f"TYPE_{scalar.upper()}")
            else:
                added.type_name = f".{_PACKAGE}.{scalar}" if scalar in _FIELDS else f".google.protobuf.{scalar}"
    pool = descriptor_pool.Default()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


_CLASSES = _classes()
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
SSLConfig = _CLASSES["SSLConfig"]
ModelServerConfig = model_server_config_pb2.ModelServerConfig


def read(path: str, message_class: Any) -> Any:
    """Reads a message from a file in protobuf text format.

    Args:
        path: path of the file.
        message_class: class of the message.

    Raises:
        SettingsError: the file cannot be read or parsed. The error names the file, line and column.
    """
    try:
        return text_format.Parse(read_small_file(Path(path)).decode("utf-8"), message_class())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except text_format.ParseError as error:
        name = message_class.DESCRIPTOR.full_name
        raise SettingsError(
            f"{path}: Error parsing text-format {name}: {error}; correct that line and column"
        ) from error


def single_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """Returns the configuration for --model_name and --model_base_path."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def check(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Raises ValueError if a server cannot serve this configuration."""
    if config.WhichOneof("config") == "custom_model_config":
        raise ValueError("custom_model_config is not supported: use model_config_list")
    names = [model.name for model in config.model_config_list.config]
    for model in config.model_config_list.config:
        if not model.name or not model.base_path:
            raise ValueError(f"a model needs a name and a base_path, got {model.name!r} and {model.base_path!r}")
        if names.count(model.name) > 1:
            raise ValueError(f"Illegal to list model {model.name} multiple times in config list")
        # TensorFlow Serving rejects a model with both, or with neither.
        given = (model.model_platform, model.model_type)
        if given not in (("tensorflow", _NO_TYPE), ("", model_server_config_pb2.TENSORFLOW)):
            raise ValueError(
                f"model {model.name}: platform {model.model_platform!r} is not supported: set model_platform to "
                "'tensorflow', without the deprecated model_type"
            )
        if model.HasField("logging_config"):
            _check_logging(model)


def log_directories(config: model_server_config_pb2.ModelServerConfig) -> dict[str, Path]:
    """Returns the directory of each model's request log, without the models that have none."""
    return {
        model.name: Path(model.logging_config.log_collector_config.filename_prefix).parent
        for model in config.model_config_list.config
        if model.HasField("logging_config")
    }


def check_log_directories(config: model_server_config_pb2.ModelServerConfig, allowed: Collection[Path]) -> None:
    """Raises ValueError if a model's request log is not below an allowed directory, symbolic links resolved."""
    bases = [base.resolve() for base in allowed]
    for model, directory in log_directories(config).items():
        if not any(directory.resolve().is_relative_to(base) for base in bases):
            raise ValueError(
                f"model {model}: filename_prefix of log_collector_config is below no directory that this server was "
                f"started with; restart it with this configuration, or with --request_log_directories={directory}"
            )


def _check_logging(model: model_server_config_pb2.ModelConfig) -> None:
    collector, rate = model.logging_config.log_collector_config, model.logging_config.sampling_config.sampling_rate
    if collector.type != REQUEST_LOG_TYPE:
        raise ValueError(
            f"model {model.name}: log collector type {collector.type!r} is not supported, expected {REQUEST_LOG_TYPE!r}"
        )
    if not collector.filename_prefix or "://" in collector.filename_prefix:
        raise ValueError(f"model {model.name}: filename_prefix of log_collector_config must be a local path")
    if not 0 <= rate <= 1:
        raise ValueError(f"model {model.name}: sampling_rate {rate} is not between 0 and 1")
