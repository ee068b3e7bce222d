"""Reads the model config file that TensorFlow Serving polls, changes it for one model, and replaces it in one step.

Source of the format: tensorflow/serving, tensorflow_serving/config/model_server_config.proto.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from schema.files import FOR_ALL, flush_directory, read_small_file, replace_file
from serving.promotion.errors import PromotionError

CONFIG_FILE = "models.config"
STABLE, CANARY = LABELS = ("stable", "canary")
_HEADER = "# Written by agnews versions promote and rollback; entries of other models are kept, comments are not.\n"
_Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


@dataclass(frozen=True)
class Served:
    """The configuration of one model on a server.

    Attributes:
        versions: the versions to load.
        labels: version by label.
    """

    versions: frozenset[int]
    labels: Mapping[str, int]

    @property
    def unlabelled_version(self) -> int | None:
        """Version that answers requests without version and label: the highest loaded one."""
        return max(self.versions, default=None)

    @property
    def production_version(self) -> int | None:
        """Version in production: the one labelled stable, or the unlabelled version if there is no such label."""
        return self.labels.get(STABLE, self.unlabelled_version)


def models_outside_directory(serving_directory: Path) -> list[str]:
    """Returns the models that models.config loads from elsewhere, or why they are unknown, one line each."""
    path = serving_directory / CONFIG_FILE
    try:
        return list(other_places(parse(read_text(path), path), serving_directory).values())
    except PromotionError as error:
        return [str(error)]


def read_text(path: Path) -> str:
    """Returns the file's text; empty if there is no file."""
    try:
        return read_small_file(path).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise PromotionError(f"{path} cannot be read: {error}; make it readable and repeat the command") from error


def parse(text: str, path: Path) -> model_server_config_pb2.ModelServerConfig:
    """Parses the text of a config file.

    Raises:
        PromotionError: the text is not a ModelServerConfig in text format, or configures a custom source.
    """
    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise PromotionError(
            f"{path}: not a model config file: {error}; fix it, or remove it to start again"
        ) from error
    if config.HasField("custom_model_config"):
        raise PromotionError(
            f"{path} holds a custom_model_config: versions can be promoted in a model_config_list only"
        )
    return config


def served_of(config: model_server_config_pb2.ModelServerConfig, model_name: str, available: Collection[int]) -> Served:
    """Returns the configuration of a model; TensorFlow Serving's default if the config does not contain the model.

    Args:
        config: configuration of all models.
        model_name: name of the model.
        available: versions in the model's directory, from which the policies `latest` and `all` select.
    """
    model = _find(config, model_name) or model_server_config_pb2.ModelConfig()
    policy = model.model_version_policy
    if policy.HasField("specific"):
        versions = frozenset(policy.specific.versions)
    elif policy.HasField("all"):
        versions = frozenset(available)
    else:
        versions = frozenset(sorted(available)[-(policy.latest.num_versions or 1) :])
    return Served(versions, dict(model.version_labels))


def other_places(config: model_server_config_pb2.ModelServerConfig, directory: Path) -> dict[str, str]:
    """Returns a note on each model that servers load from another path than its directory here.

    The path may lead to the same directory, since a container can mount it under another name.

    Args:
        config: configuration of all models.
        directory: the serving directory, which contains one directory per model.
    """
    found = {}
    for model in config.model_config_list.config:
        here = directory.absolute() / model.name
        if "://" in model.base_path or os.path.realpath(model.base_path) != os.path.realpath(here):
            found[model.name] = (
                f"{CONFIG_FILE} loads {model.name} from {model.base_path}; that is not what was checked, unless it is "
                f"{here} as a container sees it"
            )
    return found


def replace_served(text: str, path: Path, model_name: str, served: Served) -> str:
    """Returns the new text of the file: replaces the model's policy and labels, and keeps everything else.

    Args:
        text: the current text of the file.
        path: path of the file; the directory of a model without an entry is next to it.
        model_name: name of the model.
        served: the model's new configuration.
    """
    config = parse(text, path)
    model = _find(config, model_name)
    if model is None:
        model = config.model_config_list.config.add(
            name=model_name, base_path=str(path.with_name(model_name)), model_platform="tensorflow"
        )
    model.model_version_policy.CopyFrom(_Policy(specific=_Policy.Specific(versions=sorted(served.versions))))
    model.version_labels.clear()
    model.version_labels.update(served.labels)
    return _HEADER + text_format.MessageToString(config, as_utf8=True)


def replace(path: Path, text: str) -> None:
    """Replaces the file in one step, readable by every user, as servers are other users; an empty text removes it."""
    if text:
        replace_file(path, text.encode(), FOR_ALL)
    else:
        path.unlink(missing_ok=True)
        flush_directory(path.parent)


def _find(
    config: model_server_config_pb2.ModelServerConfig, model_name: str
) -> model_server_config_pb2.ModelConfig | None:
    return next((model for model in config.model_config_list.config if model.name == model_name), None)
