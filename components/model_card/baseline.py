"""The section that compares the model with the one blessed before it, on the same test rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tfx.types import Artifact
from tfx.utils import path_utils

from components.model_card.evidence import Missing
from components.model_card.exported_model import ExportedModel
from components.model_card.rows import TestRows
from components.statistics import PairedTest, change_interval, mcnemar


@dataclass(frozen=True)
class BaselineComparison:
    """Both models on the same rows.

    Attributes:
        model: the baseline's id in the metadata store.
        accuracy: the baseline's.
        change: the model's accuracy less the baseline's.
        low: lower bound of the change's 95 % interval.
        high: upper bound.
        test: of the rows on which one of them alone is right; the first is the model, the second the baseline.
        other_answers: rows that the two answer otherwise, both wrong among them.
    """

    model: int
    accuracy: float
    change: float
    low: float
    high: float
    test: PairedTest
    other_answers: int


def compare_with_baseline(
    baseline: Sequence[Artifact],
    rows: TestRows,
    answers: np.ndarray,
    load: Callable[[str], ExportedModel] = ExportedModel,
) -> BaselineComparison | Missing:
    """Asks the baseline about the test rows, where there is one that can still be asked.

    Args:
        baseline: the model to compare with, or nothing.
        rows: the test rows.
        answers: int [rows], the classes that the model answers.
        load: gives the model of a directory.
    """
    if not baseline:
        return Missing("no other blessed model is there")
    [artifact] = baseline
    try:
        model = load(path_utils.serving_model_path(artifact.uri))
        theirs = model.probabilities(rows.texts).argmax(axis=1)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        return Missing(f"the baseline, model {artifact.id}, cannot be asked: {type(error).__name__}: {error}")
    correct, baseline_correct = answers == rows.labels, theirs == rows.labels
    low, high = change_interval(baseline_correct, correct)
    return BaselineComparison(
        model=artifact.id,
        accuracy=float(baseline_correct.mean()),
        change=float(correct.mean() - baseline_correct.mean()),
        low=low,
        high=high,
        test=mcnemar(correct, baseline_correct),
        other_answers=int((answers != theirs).sum()),
    )
