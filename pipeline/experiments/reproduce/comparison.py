"""Compares two trainings: their metrics, and the weights and outputs of their exports."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import TestRows
from components.trainer.export import MEASURED
from schema.model_contract import VARIABLES

# Keras' export archive writes each variable twice; one of the two is enough.
_VARIABLES = "variables/"


@dataclass(frozen=True)
class MetricDifference:
    """The recorded and the repeated values of a metric, and the largest difference; None if not comparable."""

    recorded: Any
    repeated: Any
    largest: float | None


@dataclass(frozen=True)
class WeightComparison:
    """The result of comparing the variables of two exports.

    Attributes:
        tensors: number of tensors that both exports have.
        identical: number of these tensors that are identical bit by bit.
        largest: largest difference of two numbers; None if a shape differs.
        only_one: names of tensors that only one export has.
    """

    tensors: int
    identical: int
    largest: float | None
    only_one: tuple[str, ...]

    def within(self, tolerance: float) -> bool:
        """Returns whether no number differs by more than the tolerance."""
        return bool(self.tensors) and not self.only_one and self.largest is not None and self.largest <= tolerance


def compare_facts(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> dict[str, MetricDifference]:
    """Compares the metrics of each epoch, the best epoch and the calibration of two trainings."""
    differences = {}
    names = [name for name in recorded["history"] if name not in MEASURED]
    for name in names:
        differences[name] = _difference(recorded["history"][name], repeated["history"].get(name, []))
    differences["best_epoch"] = _difference([recorded["best_epoch"]], [repeated["best_epoch"]])
    for name in ("temperature", "ece_before", "ece_after"):
        values = (facts["calibration"][name] for facts in (recorded, repeated))
        differences[f"calibration {name}"] = _difference(*([value] for value in values))
    return differences


def _difference(recorded: list[float], repeated: list[float]) -> MetricDifference:
    if len(recorded) != len(repeated):
        return MetricDifference(recorded, repeated, None)
    largest = max((abs(one - other) for one, other in zip(recorded, repeated, strict=True)), default=0.0)
    return MetricDifference(recorded, repeated, largest if math.isfinite(largest) else None)


def compare_weights(recorded: Path, repeated: Path) -> WeightComparison:
    """Compares the variables of two SavedModels by their names."""
    first, second = (tf.train.load_checkpoint(str(path / VARIABLES)) for path in (recorded, repeated))
    names = [
        # Integers are the states of random generators.
        {name for name, dtype in reader.get_variable_to_dtype_map().items() if _is_weight(name, dtype)}
        for reader in (first, second)
    ]
    both = sorted(names[0] & names[1])
    identical, largest = 0, 0.0
    comparable = True
    for name in both:
        one, other = first.get_tensor(name), second.get_tensor(name)
        if one.shape != other.shape:
            comparable = False
        elif one.tobytes() == other.tobytes():
            identical += 1
        else:
            largest = max(largest, float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max()))
    only_one = tuple(sorted(names[0] ^ names[1]))
    return WeightComparison(len(both), identical, largest if comparable else None, only_one)


def _is_weight(name: str, dtype: tf.DType) -> bool:
    return name.startswith(_VARIABLES) and dtype.is_floating


@dataclass(frozen=True)
class OutputComparison:
    """Accuracies of two exports on the same test rows, and the largest difference of a probability."""

    rows: int
    recorded_accuracy: float
    repeated_accuracy: float
    largest: float


def compare_outputs(recorded: Path, repeated: Path, rows: TestRows) -> OutputComparison:
    """Compares the probabilities that two exports return for test rows."""
    one, other = (ExportedModel(str(path)).probabilities(rows.texts) for path in (recorded, repeated))
    before, after = (float((scores.argmax(axis=1) == rows.labels).mean()) for scores in (one, other))
    return OutputComparison(len(rows.labels), before, after, float(np.abs(one - other).max()))
