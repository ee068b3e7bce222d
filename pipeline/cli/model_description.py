"""Prints the description of a trained model."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.metadata.model_description import ModelDescription

_LOOK: dict[str, Any] = {
    "box": None,
    "pad_edge": False,
    "header_style": "dim",
    "title_justify": "left",
    "title_style": "bold",
}


def print_description(console: Console, description: ModelDescription) -> None:
    """Prints the layers, how the model was trained, and the example with its tokens and classes."""
    console.print(f"model: {description.directory}", markup=False, highlight=False, soft_wrap=True)
    console.print(_layers(description.facts))
    console.print(_training(description.facts))
    console.print(_example(description))
    console.print(_classes(description.probabilities))


def _layers(facts: Mapping[str, Any]) -> Table:
    table = Table("layer", "kind", "output", title="layers", **_LOOK)
    table.add_column("parameters", justify="right")
    for layer in facts["layers"]:
        shape = " × ".join(map(str, layer["shape"]))
        table.add_row(layer["name"], layer["kind"], shape, f"{layer['parameters']:,}")
    table.add_row("total", "", "", f"{facts['parameters']:,}", style="bold")
    return table


def _training(facts: Mapping[str, Any]) -> Table:
    history, best, calibration = facts["history"], facts["best_epoch"], facts["calibration"]
    replicas = f"{facts['replicas']} replica{'s' if facts['replicas'] > 1 else ''}"
    ece = f"{calibration['ece_before']:.4f} → {calibration['ece_after']:.4f}"
    # Unset values come from the architecture, and the table of layers shows them.
    settings = {name: value for name, value in facts["recipe"].items() if value is not None and name != "architecture"}
    return _pairs(
        "training",
        {
            "architecture": facts["architecture"],
            "kept": f"epoch {best} of {len(history['loss'])}, val accuracy {history['val_accuracy'][best - 1]:.4f}",
            "calibration": f"temperature {calibration['temperature']:.3f}, expected error on val {ece}",
            "rows": f"{facts['rows']:,}, of {facts['tokens_per_row']} tokens",
            # A pushed version has no times.
            "seconds": f"{facts['seconds']:,.0f}" if "seconds" in facts else "see the model card",
            "device": f"{replicas}, cuDNN {facts['cudnn']}",
            "settings": ", ".join(f"{name} {value}" for name, value in settings.items()),
        },
    )


def _example(description: ModelDescription) -> Table:
    tokens = [
        Text.assemble((token.word, "" if token.known else "yellow"), (f" {token.id}", "dim"))
        for token in description.tokens
    ]
    texts: dict[str, str | Text] = {"title": description.title, "description": description.description}
    return _pairs("example", {**texts, "tokens": Text(", ").join(tokens)})


def _classes(probabilities: Mapping[str, float]) -> Table:
    table = Table("class", **_LOOK)
    table.add_column("probability", justify="right")
    for position, (name, probability) in enumerate(probabilities.items()):
        table.add_row(name, f"{probability:.4f}", style="" if position else "bold")
    return table


def _pairs(title: str, pairs: Mapping[str, str | Text]) -> Table:
    table = Table(title=title, show_header=False, **_LOOK)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        # Text, because brackets in a user's text are not markup.
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table
