"""The Trainer: networks, their input, their recipe and their export.

`run_fn.run_fn` is what the Trainer component calls; nothing is imported here, so that naming it stays light.
"""
