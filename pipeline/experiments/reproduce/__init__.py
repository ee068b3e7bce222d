"""Repeats the training of a model from its records and compares the outcome.

`recorded` reads the records and checks the code, `rows` finds the training rows or ingests them again, `comparison`
compares two exports, and `reproduce` combines them. Everything is written to one directory.
"""

from pipeline.experiments.reproduce.reproduce import Reproduction, reproduce

__all__ = ["Reproduction", "reproduce"]
