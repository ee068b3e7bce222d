"""Reads the settings. Later sources override earlier ones: defaults, profile, settings file, environment, flags."""

import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from components.trainer.settings import PathMarker
from pipeline.settings.model import Settings
from schema.errors import SettingsError, suggestion
from schema.files import read_small_file
from schema.paths import is_remote
from serving.audit import IDENTITY

DEFAULT_FILE = Path("agnews.yaml")
_PREFIX = "AGNEWS_"
REVIEW_TOKEN = "AGNEWS_REVIEW_TOKEN"
REVIEW_SECRET = "AGNEWS_REVIEW_OIDC_SECRET"
# These variables hold the acting person, secrets of the review site and what serving/deploy/compose.yaml mounts.
_NO_SETTINGS = (IDENTITY, REVIEW_TOKEN, REVIEW_SECRET, "AGNEWS_SERVING")
# Kubernetes sets these variables in pods if a Service is named agnews or agnews-…; only a setting's variable contains
# a double underscore.
_OF_A_SERVICE = re.compile(
    r"AGNEWS_(?!\w*__)(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(?==\w+://)|PORT_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?)=.*"
)


@dataclass(frozen=True)
class Loaded:
    """The effective settings, and the source of the value of each dotted key."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    profile: str = "default",
    config_file: Path | None = None,
    flags: Mapping[str, tuple[str, str]] | None = None,
    *,
    data_path: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Reads all sources and validates the settings.

    Args:
        profile: name of a file in `pipeline/settings/profiles`.
        config_file: a YAML file; None reads ./agnews.yaml if it exists.
        flags: value as text and flag as typed, by dotted key.
        data_path: the value of `data.path`, verbatim.
        environ: environment variables.

    Raises:
        SettingsError: an unknown key, a wrong type, an impossible combination, or an unreadable file.
    """
    sources = [_profile(profile), _file(config_file), _environment(environ), _flags(flags or {})]
    if data_path is not None:
        sources.append({"data.path": (data_path, "flag --data")})
    values = {key: value for source in sources for key, value in source.items()}
    tree: dict[str, Any] = {}
    for key, (value, origin) in values.items():
        if key not in KEYS:
            raise SettingsError(f"{origin}: unknown setting {key!r}; {_nearest(key)}")
        if isinstance(value, bool) and KEYS[key].annotation is not bool:
            raise SettingsError(f"{origin}: {key}: expected a value, not a boolean (received {str(value).lower()})")
        if isinstance(value, str) and "\0" in value:
            raise SettingsError(f"{origin}: {key}: contains the character NUL; write the value without it")
        if value == "" and _path_markers(KEYS[key]):
            raise SettingsError(f"{origin}: {key}: the path is empty; name one, or leave the setting out")
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = value
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_explain(error, values)) from None
    return Loaded(settings, {key: values[key][1] if key in values else "default" for key in KEYS})


def profile_names() -> list[str]:
    """Returns the names of all profiles."""
    return sorted(Path(entry.name).stem for entry in _profiles().iterdir() if entry.name.endswith(".yaml"))


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for section, field in Settings.model_fields.items():
        for name, info in typing.cast(type[BaseModel], field.annotation).model_fields.items():
            yield f"{section}.{name}", info


KEYS: Mapping[str, FieldInfo] = dict(_fields())
"""Every dotted key with its field, in the order of the model."""


def is_secret(key: str) -> bool:
    """Returns whether a dotted key holds a secret, such as a password."""
    return key in KEYS and SecretStr in _alternatives(KEYS[key].annotation)


_Source = dict[str, tuple[Any, str]]


def _nearest(key: str) -> str:
    same_name = next((known for known in KEYS if known.endswith(f".{key}")), None)
    otherwise = f"did you mean {same_name!r}?" if same_name else "`agnews config keys` lists them all"
    return suggestion(key, KEYS, otherwise, cutoff=0.5)


def _profiles():
    return resources.files("pipeline.settings") / "profiles"


def _profile(name: str) -> _Source:
    if name not in profile_names():
        raise SettingsError(f"--profile {name}: no such profile; there are {', '.join(profile_names())}")
    return _flat(
        _parse((_profiles() / f"{name}.yaml").read_text(encoding="utf-8"), f"profile {name}"), f"profile {name}"
    )


def _file(path: Path | None) -> _Source:
    is_default, path = path is None, path or DEFAULT_FILE
    try:
        text = read_small_file(path).decode("utf-8")
    except OSError as error:
        if is_default and isinstance(error, FileNotFoundError):
            return {}
        raise SettingsError(f"settings file {path}: {error.strerror}; name a file that can be read") from error
    except ValueError as error:
        raise SettingsError(f"settings file {path}: {error}; save it as UTF-8") from error
    values = _flat(_parse(text, str(path)), str(path))
    return {key: (_relative_to(path.parent, key, value), origin) for key, (value, origin) in values.items()}


def _relative_to(directory: Path, key: str, value: Any) -> Any:
    """Returns the value of a setting; a relative path is joined to the directory of the file that holds it."""
    markers = _path_markers(KEYS[key]) if key in KEYS else []
    is_text = isinstance(value, str) and value != "" and not value.startswith("~") and not is_remote(value)
    return str(directory / value) if is_text and markers and value not in markers[0].words else value


def _path_markers(field: FieldInfo) -> list[PathMarker]:
    alternatives = typing.get_args(field.annotation)
    notes = [*field.metadata, *(note for kind in alternatives for note in getattr(kind, "__metadata__", ()))]
    return [note for note in notes if isinstance(note, PathMarker)]


def _environment(environ: Mapping[str, str]) -> _Source:
    values: _Source = {}
    for name, text in environ.items():
        if not name.upper().startswith(_PREFIX) or name.upper() in _NO_SETTINGS:
            continue
        if _OF_A_SERVICE.fullmatch(f"{name}={text}"):
            continue
        key = name[len(_PREFIX) :].lower().replace("__", ".")
        values[key] = (_value(key, text, name), f"environment {name}")
    return values


def _flags(flags: Mapping[str, tuple[str, str]]) -> _Source:
    return {key: (_value(key, text, origin), origin) for key, (text, origin) in flags.items()}


def _value(key: str, text: str, origin: str) -> Any:
    """Parses the value of a variable or flag as YAML; keeps text verbatim, because "{SPAN}/train.csv" is not YAML."""
    if key in KEYS and _holds_text(KEYS[key].annotation):
        return None if not text and _is_optional(KEYS[key].annotation) else text
    return _parse(text, origin)


def _is_optional(annotation: Any) -> bool:
    return types.NoneType in _alternatives(annotation)


def _holds_text(annotation: Any) -> bool:
    kinds = _alternatives(annotation)
    return any(kind in (str, Path, SecretStr) or typing.get_origin(kind) is typing.Literal for kind in kinds)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Returns the types of a union, or the type, each without what `Annotated` adds."""
    # A union with an annotated type is a typing.Union.
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    return tuple(kind.__origin__ if hasattr(kind, "__metadata__") else kind for kind in kinds)


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as error:
        # Not str(error): it quotes the line, which may contain a password.
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{origin}{place}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise SettingsError(f"{origin}: not valid YAML ({type(error).__name__})") from None


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML's safe loader, but with an error for duplicate keys, where PyYAML silently keeps the last one."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep)


# Dates and times stay text, so that the validation of the setting reports what it expects; PyYAML reads 10:30 as 630.
_UniqueKeys.yaml_implicit_resolvers = {
    first: [("tag:yaml.org,2002:str", re.compile(r"[-+]?[0-9_]+[-:]")), *resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_MERGE = "tag:yaml.org,2002:merge"


def _flat(tree: Any, origin: str) -> _Source:
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{origin}: expected sections with keys, found {type(tree).__name__}")
    values: _Source = {}
    for section, content in tree.items():
        if section not in Settings.model_fields:
            sections = Settings.model_fields
            nearest = suggestion(str(section), sections, f"the sections are {', '.join(sections)}")
            raise SettingsError(f"{origin}: unknown section {section!r}; {nearest}")
        if not isinstance(content, dict | None):
            kind = type(content).__name__
            raise SettingsError(f"{origin}: section {section!r} must hold keys, found a value of type {kind}")
        values |= {f"{section}.{name}": (value, origin) for name, value in (content or {}).items()}
    return values


def _explain(error: ValidationError, values: _Source) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"][:2])
        origin = (
            values[key][1]
            if key in values
            else ", ".join(sorted({o for k, (_, o) in values.items() if k.startswith(key)}))
        )
        message = problem["msg"].removeprefix("Value error, ")
        received = problem["input"]
        shown = f" (received {received!r})" if key in KEYS and not is_secret(key) else ""
        # The origin of a flag already contains its key.
        place = origin if origin.endswith(f" {key}") else ": ".join(filter(None, [origin, key]))
        lines.append(f"{place or 'settings'}: {message}{shown}")
    return "\n".join(lines)
