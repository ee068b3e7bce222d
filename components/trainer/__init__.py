"""The Trainer: networks, their input, their training and their export.

The Trainer component calls `run_fn.run_fn`, and the Tuner component `tuner.tuner_fn`. This module imports nothing, so
that `components.trainer.settings` can be imported without TensorFlow.
"""
