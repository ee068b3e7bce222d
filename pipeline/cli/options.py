"""Options of every command that reads the settings."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schema.errors import SettingsError
from schema.paths import expand_home, is_remote

if TYPE_CHECKING:
    from pipeline.settings.sources import Loaded

# Sections that no component reads.
_ORCHESTRATORS = ("airflow", "kubeflow")


class LocalPath(click.Path):
    """A path whose leading `~` is expanded; a shell expands it only at the start of a word, not in `--to=~/x`."""

    def __init__(self, **options: Any):
        super().__init__(**{"path_type": Path} | options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(expand_home(os.fspath(value)), param, ctx)
        except ValueError as error:
            self.fail(f"{value}: {error}", param, ctx)


def settings_options(command: Callable) -> Callable:
    """Adds `--profile`, `--config`, `--data` and `--set` to a command, and passes it the settings as `loaded`."""

    @click.option("--profile", default="default", show_default=True, help="Named set of settings to start with.")
    @click.option(
        "--config",
        "config_file",
        type=LocalPath(),
        help="Settings file (YAML)  [default: ./agnews.yaml]",
    )
    @click.option("--data", metavar="PATH", help="Directory with the data; short for --set data.path=…")
    @click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Value of one setting; may be repeated."
    )
    @functools.wraps(command)
    def with_settings(*args, profile: str, config_file: Path | None, data: str | None, assignments, **kwargs):
        from pipeline.settings.sources import load

        flags = {}
        for assignment in assignments:
            key, separator, value = assignment.partition("=")
            if not separator:
                raise SettingsError(f"--set {assignment}: expected KEY=VALUE, for instance --set trainer.epochs=3")
            flags[key] = (value, f"flag --set {key}")
        # Only `agnews run` has the option --span.
        if (span := kwargs.pop("span", None)) is not None:
            flags["data.span"] = (span, "flag --span")
        loaded = load(profile, config_file, flags, data_path=data)
        return command(*args, loaded=loaded, **kwargs)

    return with_settings


def settings_arguments(loaded: "Loaded") -> list[str]:
    """Returns options that give `agnews component` the same settings on another machine.

    Secrets in variables are left out: they belong into the environment of the component as well.

    Raises:
        SettingsError: a flag or a file contains a secret, which a plan must not.
    """
    from pipeline.settings.sources import is_secret

    options = ["--profile", click.get_current_context().params["profile"]]
    for key, origin in loaded.origins.items():
        section, _, name = key.partition(".")
        if origin == "default" or origin.startswith("profile ") or section in _ORCHESTRATORS:
            continue
        value = getattr(getattr(loaded.settings, section), name)
        if is_secret(key):
            if not origin.startswith("environment "):
                raise SettingsError(f"{origin}: {key} is a secret, which a plan must not hold; set it by its variable")
            continue
        if isinstance(value, Path) or (key == "data.path" and value and not is_remote(value)):
            value = os.path.abspath(value)
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        options += ["--set", f"{key}={'' if value is None else text}"]
    return options
