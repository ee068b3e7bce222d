"""The model config file that TensorFlow Serving polls: read, changed for one model, replaced in one step.

Source of the format: tensorflow/serving, tensorflow_serving/config/model_server_config.proto.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from schema.files import FOR_ALL, flush_directory, replace_file
from serving.promotion.errors import PromotionError

CONFIG_FILE = "models.config"
STABLE, CANARY = LABELS = ("stable", "canary")
_HEADER = (
    "# Written by agnews promote and agnews rollback; what stands here of other models is kept, comments are not.\n"
)
_Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


@dataclass(frozen=True)
class Served:
    """What a server is told to serve of one model.

    Attributes:
        versions: the versions to load.
        labels: version by label.
    """

    versions: frozenset[int]
    labels: Mapping[str, int]

    @property
    def default(self) -> int | None:
        """The version that answers a request which names neither version nor label: the highest loaded one."""
        return max(self.versions, default=None)

    @property
    def live(self) -> int | None:
        """The version in production: the one labelled stable, without that label the default."""
        return self.labels.get(STABLE, self.default)


def read_text(path: Path) -> str:
    """The file's text, empty when there is no file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise PromotionError(f"{path} cannot be read: {error}; make it readable and repeat the command") from error


def parse(text: str, path: Path) -> model_server_config_pb2.ModelServerConfig:
    """The config of a file's text.

    Raises:
        PromotionError: it is not in the text format of a ModelServerConfig, or configures a custom source.
    """
    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise PromotionError(
            f"{path}: not a model config file: {error}; mend it, or remove it to begin anew"
        ) from error
    if config.HasField("custom_model_config"):
        raise PromotionError(
            f"{path} holds a custom_model_config: versions can be promoted in a model_config_list only"
        )
    return config


def served_of(config: model_server_config_pb2.ModelServerConfig, model_name: str, available: Collection[int]) -> Served:
    """What a config says of a model; of one that it does not hold, TensorFlow Serving's default is told.

    Args:
        config: all models.
        model_name: the model.
        available: the versions that lie in its directory, of which the policies `latest` and `all` choose.
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
    """A note on each model that servers load from elsewhere than from its directory here.

    That may be the same directory: a container has it by another name.

    Args:
        config: all models.
        directory: the serving directory; below it lies a directory a model.
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


def with_served(text: str, path: Path, model_name: str, served: Served) -> str:
    """The file's new text: the model's policy and labels replaced, the rest of its entry and other models kept.

    Args:
        text: the file's text so far.
        path: the file; beside it lies the directory of a model that has no entry yet.
        model_name: the model.
        served: what it is to be served with.
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
    """Replaces the file in one step, readable for every user: the server is another user. No text removes the file."""
    if text:
        replace_file(path, text.encode(), FOR_ALL)
    else:
        path.unlink(missing_ok=True)
        flush_directory(path.parent)


def _find(
    config: model_server_config_pb2.ModelServerConfig, model_name: str
) -> model_server_config_pb2.ModelConfig | None:
    return next((model for model in config.model_config_list.config if model.name == model_name), None)
