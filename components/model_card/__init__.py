"""Writes the model card: the facts that a reviewer needs about a model, taken from the artifacts of its run."""
