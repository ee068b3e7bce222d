"""`agnews model`: describes a trained model."""

import sys
from pathlib import Path

import click

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import hide_library_output
from pipeline.settings.sources import Loaded
from schema.errors import DataError

_PLAIN_WIDTH = 120


@click.group(epilog="Example:  agnews model describe --title 'Oil prices rise'")
def model() -> None:
    """Describe a trained model."""


@model.command(epilog="Example:  agnews model describe serving_model/agnews/1795469554 --title 'Oil prices rise'")
@click.argument("directory", required=False, type=LocalPath(file_okay=False))
@click.option("--title", default="Oil prices rise", show_default=True, help="Title of the example item.")
@click.option(
    "--description", default="Crude hit a record on Monday.", show_default=True, help="Description of the example item."
)
@settings_options
def describe(loaded: Loaded, directory: Path | None, title: str, description: str) -> None:
    """Print the layers and the training of a model, and classify an example.

    The description includes shapes, parameters, and the tokens of the example. DIRECTORY is a SavedModel that this
    pipeline exported; the default is the newest pushed version.
    """
    from rich.console import Console

    pusher = loaded.settings.pusher
    directory = directory or last_pushed(Path(pusher.destination) / pusher.model_name)
    with hide_library_output():
        from pipeline.cli.model_description import print_description
        from pipeline.metadata.model_description import describe_model

        described = describe_model(directory, title, description)
    print_description(Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH), described)


def last_pushed(destination: Path) -> Path:
    """Returns the directory of the newest version.

    Raises:
        DataError: no version has been pushed.
    """
    versions = [path for path in destination.glob("*") if path.name.isdecimal()]
    if not versions:
        raise DataError(f"{destination}: no model has been pushed; run `agnews run`, or name a SavedModel's directory")
    return max(versions, key=lambda path: int(path.name))
