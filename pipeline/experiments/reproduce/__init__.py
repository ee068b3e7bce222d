"""Repeats a model's training from what was recorded of it: is the outcome the same?

`recorded` reads what there is to repeat and checks the code, `rows` finds the training rows or ingests them anew,
`comparison` compares two exports, `reproduce` does it all. Nothing is written but to a directory of its own.
"""

from pipeline.experiments.reproduce.reproduce import Reproduction, reproduce

__all__ = ["Reproduction", "reproduce"]
