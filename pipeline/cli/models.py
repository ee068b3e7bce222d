"""`agnews models`: describes a trained model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.options import LocalPath, settings_options
from pipeline.cli.output import hide_library_output, make_console, make_table
from pipeline.settings.sources import Loaded
from schema.errors import DataError
from schema.wording import amount
from serving.versions import pushed_versions

if TYPE_CHECKING:
    from pipeline.metadata.model_description import ModelDescription

_TITLE: dict[str, Any] = {"title_justify": "left", "title_style": "bold"}


@click.group(epilog="Example:  agnews models describe --title 'Oil prices rise'")
def models() -> None:
    """Describe a trained model."""


@models.command(epilog="Example:  agnews models describe serving_model/agnews/1795469554 --title 'Oil prices rise'")
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
    pusher = loaded.settings.pusher
    directory = directory or newest_pushed_version(Path(pusher.destination) / pusher.model_name)
    with hide_library_output():
        from pipeline.metadata.model_description import describe_model

        described = describe_model(directory, title, description)
    print_description(make_console(120), described)


def newest_pushed_version(destination: Path) -> Path:
    """Returns the directory of the newest version.

    Raises:
        DataError: no version has been pushed.
    """
    versions = pushed_versions(destination)
    if not versions:
        raise DataError(f"{destination}: no model has been pushed; run `agnews run`, or name a SavedModel's directory")
    return versions[max(versions)].path


def print_description(console: Console, description: "ModelDescription") -> None:
    """Prints the layers, how the model was trained, and the example with its tokens and classes."""
    console.print(f"model: {description.directory}", markup=False, highlight=False, soft_wrap=True)
    console.print(_layers(description.facts))
    console.print(_training(description.facts))
    console.print(_example(description))
    console.print(_classes(description.probabilities))


def _layers(facts: Mapping[str, Any]) -> Table:
    table = make_table("layer", "kind", "output", title="layers", **_TITLE)
    table.add_column("parameters", justify="right")
    for layer in facts["layers"]:
        shape = " × ".join(map(str, layer["shape"]))
        table.add_row(layer["name"], layer["kind"], shape, f"{layer['parameters']:,}")
    table.add_row("total", "", "", f"{facts['parameters']:,}", style="bold")
    return table


def _training(facts: Mapping[str, Any]) -> Table:
    history, best, calibration = facts["history"], facts["best_epoch"], facts["calibration"]
    replicas = amount(facts["replicas"], "replica")
    calibrated = (
        f"temperature {calibration['temperature']:.3f}, expected error on val "
        f"{calibration['ece_before']:.4f} → {calibration['ece_after']:.4f}"
    )
    if reason := calibration.get("not_learned"):
        calibrated = f"not calibrated, temperature 1: {reason}; expected error on val {calibration['ece_before']:.4f}"
    # Unset values come from the architecture, and the table of layers shows them.
    settings = {name: value for name, value in facts["recipe"].items() if value is not None and name != "architecture"}
    return _pairs(
        "training",
        {
            "architecture": facts["architecture"],
            "kept": f"epoch {best} of {len(history['loss'])}, val accuracy {history['val_accuracy'][best - 1]:.4f}",
            "calibration": calibrated,
            "rows": f"{facts['rows']:,}, of {amount(facts['tokens_per_row'], 'token')}",
            # A pushed version has no times.
            "seconds": f"{facts['seconds']:,.0f}" if "seconds" in facts else "see the model card",
            "device": f"{replicas}, cuDNN {facts['cudnn']}",
            "settings": ", ".join(f"{name} {value}" for name, value in settings.items()),
        },
    )


def _example(description: "ModelDescription") -> Table:
    tokens = [
        Text.assemble((token.word, "" if token.known else "yellow"), (f" {token.id}", "dim"))
        for token in description.tokens
    ]
    texts: dict[str, str | Text] = {"title": description.title, "description": description.description}
    return _pairs("example", {**texts, "tokens": Text(", ").join(tokens)})


def _classes(probabilities: Mapping[str, float]) -> Table:
    table = make_table("class", **_TITLE)
    table.add_column("probability", justify="right")
    for position, (name, probability) in enumerate(probabilities.items()):
        table.add_row(name, f"{probability:.4f}", style="" if position else "bold")
    return table


def _pairs(title: str, pairs: Mapping[str, str | Text]) -> Table:
    table = make_table(title=title, show_header=False, **_TITLE)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        # Text, because brackets in a user's text are not markup.
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table
