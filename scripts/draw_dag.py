"""Draws docs/images/dag.svg from the pipeline itself: `make picture`."""

import re
import sys
import tempfile

import matplotlib
from matplotlib.figure import Figure
from tfx.dsl.compiler.compiler import Compiler

from components.example_gen.sources import DataSource
from pipeline.dag import create_pipeline
from pipeline.runners.display import direct_upstream
from pipeline.settings import Settings

_LOOKUP, _GUARD, _PUSH, _OTHER = "#eeeeee", "#ffd9b3", "#c6e9c6", "#cfe2ff"
_COLOURS = {"Resolver": _LOOKUP, "Gate": _GUARD, "Validator": _GUARD, "Evaluator": _GUARD, "Pusher": _PUSH}
_BREAK_BEFORE = ("Resolver", "InfraV", "ExampleGen")
_WIDTH, _HEIGHT = 1.9, 0.5


def main(path: str) -> None:
    """Draws components from left to right, each one column after its last dependency."""
    with tempfile.TemporaryDirectory() as root:
        settings = Settings.model_validate({"pipeline": {"root": root}})
        ir = Compiler().compile(create_pipeline(settings, DataSource("/data", "train.csv", "test.csv", "path")))
    upstream = {node.pipeline_node.node_info.id: list(node.pipeline_node.upstream_nodes) for node in ir.nodes}
    places = _places(upstream)
    columns = max(column for column, _ in places.values()) + 1
    figure = Figure(figsize=(2.0 * columns, 1.9), layout="tight")
    axes = figure.subplots()
    axes.axis("off")
    axes.set(xlim=(-0.2, 2.4 * columns), ylim=(-0.9, 0.9))
    for name, (column, row) in places.items():
        x, y = 2.4 * column, row
        colour = next((colour for part, colour in _COLOURS.items() if part in name), _OTHER)
        box = {"boxstyle": "round,pad=0.02", "facecolor": colour, "edgecolor": "#555555"}
        axes.add_patch(matplotlib.patches.FancyBboxPatch((x, y - _HEIGHT / 2), _WIDTH, _HEIGHT, **box))
        label = re.sub(f"(.)({'|'.join(_BREAK_BEFORE)})", r"\1\n\2", name)
        axes.text(x + _WIDTH / 2, y, label, ha="center", va="center", fontsize=10)
        for before in direct_upstream(name, upstream):
            start = (2.4 * places[before][0] + _WIDTH, places[before][1])
            arrow = {"arrowstyle": "->", "color": "#555555", "shrinkA": 2, "shrinkB": 2}
            axes.annotate("", (x, y), start, arrowprops=arrow)
    # The same picture gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "agnews"
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def _places(upstream: dict[str, list[str]]) -> dict[str, tuple[int, float]]:
    columns: dict[str, int] = {}
    for name, before in upstream.items():
        columns[name] = max((columns[other] + 1 for other in before), default=0)
    places: dict[str, tuple[int, float]] = {}
    for column in range(max(columns.values()) + 1):
        names = [name for name, its in columns.items() if its == column]
        for index, name in enumerate(names):
            before = [places[other][1] for other in direct_upstream(name, upstream)]
            alone = sum(before) / len(before) if before else 0.0
            places[name] = (column, (len(names) - 1) / 2 - index if len(names) > 1 else alone)
    return places


main(sys.argv[1])
