"""Imports what `agnews run` imports, but starts nothing: a fork has no threads but its own."""

import importlib

from pipeline.cli import configure_tensorflow, save_time

configure_tensorflow()
save_time()

for module in (
    "pipeline.cli.run",
    "pipeline.cli.summary",
    "pipeline.dag",
    "pipeline.runners.local",
    "components.trainer.run_fn",
    "components.transform.preprocessing",
):
    importlib.import_module(module)
