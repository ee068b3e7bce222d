"""Imports what `agnews run` imports, but starts nothing: a fork has no threads but its own."""

import gc
import importlib
import os

# As `pipeline.cli.main` does before TensorFlow is imported.
gc.set_threshold(5_000, 20, 20)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_NUM_INTRAOP_THREADS"] = str(max(1, (os.cpu_count() or 1) // 2))

for module in (
    "pipeline.cli.run",
    "pipeline.cli.summary",
    "pipeline.dag",
    "pipeline.runners.local",
    "components.trainer.run_fn",
    "components.transform.preprocessing",
):
    importlib.import_module(module)
