"""`agnews config`: shows, explains and checks the settings."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import yaml
from pydantic import BaseModel, SecretStr

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import can_encode
from pipeline.settings.sources import KEYS, Loaded, load


@click.group(epilog="Example:  agnews config show --profile sample")
def config() -> None:
    """Show, explain and check the settings."""


@config.command(epilog="Example:  agnews config show --set trainer.epochs=3 --format yaml > agnews.yaml")
@click.option("--format", "form", type=click.Choice(["table", "yaml", "json"]), default="table", show_default=True)
@settings_options
def show(loaded: Loaded, form: str) -> None:
    """Print the effective settings and the source of each.

    YAML and JSON leave out passwords and other secrets, so that the output can be used as a settings file.
    """
    # Omit unset keys from files: not every key accepts null.
    tree = loaded.settings.model_dump(mode="json", exclude_none=form != "table")
    if form != "table":
        # A file with the mask instead of a secret would be read as the secret.
        tree = {section: _without_secrets(getattr(loaded.settings, section), keys) for section, keys in tree.items()}
    if form == "yaml":
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        # Use YAML's escapes if the terminal's encoding lacks a character.
        click.echo(text if can_encode(text) else yaml.safe_dump(tree, sort_keys=False), nl=False)
    elif form == "json":
        click.echo(json.dumps(tree, indent=2, ensure_ascii=False))
    else:
        rows = [(key, _format_value(_value(loaded.settings, key)), origin) for key, origin in loaded.origins.items()]
        _print_table(("key", "value", "origin"), rows)


@config.command(epilog="Example:  agnews config check agnews.yaml")
@click.argument("file", type=LocalPath())
@click.option("--profile", default="default", show_default=True, help="Profile that the file overrides.")
def check(file: Path, profile: str) -> None:
    """Check a settings FILE as a run would read it."""
    load(profile, file)
    click.echo(f"{file}: good")


@config.command(epilog="Example:  agnews config keys | grep trainer")
def keys() -> None:
    """List every key with its default and meaning."""
    rows = [(key, _format_value(field.default), field.description or "") for key, field in KEYS.items()]
    _print_table(("key", "default", "meaning"), rows)


def _without_secrets(section: BaseModel, values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if not isinstance(getattr(section, name), SecretStr)}


def _value(settings: BaseModel, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name)


def _format_value(value: object) -> str:
    if value is None:
        return "(unset)"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    # Print plain columns, so that the width of the terminal does not change what a pipe receives.
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header) - 1)]
    for row in [header, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
