"""Draws docs/images/dag.svg from the pipeline itself, as the review site draws runs: `make picture`."""

import re
import sys
import tempfile
from pathlib import Path

from components.example_gen.sources import DataSource
from pipeline.dag import create_pipeline
from pipeline.graphs import Node, draw
from pipeline.review.site import STYLE_SHEET
from pipeline.runners.component import compile_run, control_arrows, upstream_components
from pipeline.settings import Settings

# What each component does, and the style of its box.
_KINDS = {
    "AgNewsExampleGen": ("reads and splits the rows", "plain"),
    "ImportSchemaGen": ("takes the curated schema", "plain"),
    "StatisticsGen": ("describes each split", "plain"),
    "ExampleValidator": ("finds anomalies", "plain"),
    "PreviousExamplesResolver": ("finds earlier spans", "artifact"),
    "ValidationGate": ("stops the run on bad data", "chosen"),
    "Transform": ("turns texts into ids", "plain"),
    "Trainer": ("trains the model", "plain"),
    "BaselineResolver": ("finds the current model", "artifact"),
    "Evaluator": ("blesses or refuses", "chosen"),
    "AgNewsInfraValidator": ("serves it as a test", "chosen"),
    "ModelCardGen": ("writes down the evidence", "plain"),
    "AgNewsPusher": ("pushes if all have blessed", "production"),
}
_STYLES = re.compile(r"(?m)^(?::root \{.*?^\}|@media \(prefers.*?^\}|(?:svg text|\.graph).*?\}$)", re.DOTALL)


def main(path: str) -> None:
    """Draws components from top to bottom, each below those that it waits for."""
    with tempfile.TemporaryDirectory() as root:
        settings = Settings.model_validate({"pipeline": {"root": root}})
        ir = compile_run(create_pipeline(settings, DataSource("/data", "train.csv", "test.csv", "path")), "picture")
    upstream = upstream_components(ir)
    nodes = [Node(name, name, *_KINDS[name], "") for name in upstream]
    arrows = {(before, name) for name, names in upstream.items() for before in names}
    description = "; ".join(f"{name} waits for {' and '.join(names) or 'nothing'}" for name, names in upstream.items())
    svg = str(draw("The pipeline's components", description, nodes, arrows, control_arrows(ir)))
    styles = "\n".join(_STYLES.findall(STYLE_SHEET.read_text()))
    font = "svg { background: var(--paper); font-family: system-ui, 'DejaVu Sans', sans-serif; }"
    Path(path).write_text(svg.replace("<defs>", f"<style>\n{styles}\n{font}\n</style><defs>", 1) + "\n")


main(sys.argv[1])
