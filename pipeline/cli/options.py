"""The options that every command with settings takes."""

import functools
from collections.abc import Callable
from pathlib import Path

import click

from schema.errors import SettingsError


def settings_options(command: Callable) -> Callable:
    """Adds `--profile`, `--config`, `--data` and `--set`; passes the outcome as the argument `loaded`."""

    @click.option("--profile", default="default", show_default=True, help="Named set of settings to start from.")
    @click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help="Settings file (YAML)  [default: ./agnews.yaml]",
    )
    @click.option(
        "--data", type=click.Path(path_type=Path), help="Directory with the data; short for --set data.path=…"
    )
    @click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
    @functools.wraps(command)
    def with_settings(*args, profile: str, config_file: Path | None, data: Path | None, assignments, **kwargs):
        from pipeline.settings_sources import load

        flags = {}
        for assignment in assignments:
            key, separator, value = assignment.partition("=")
            if not separator:
                raise SettingsError(f"--set {assignment}: expected KEY=VALUE, for instance --set trainer.epochs=3")
            flags[key] = (value, f"flag --set {key}")
        # `agnews run` alone has it.
        if (span := kwargs.pop("span", None)) is not None:
            flags["data.span"] = (span, "flag --span")
        loaded = load(profile, config_file, flags, data_path=data)
        return command(*args, loaded=loaded, **kwargs)

    return with_settings
