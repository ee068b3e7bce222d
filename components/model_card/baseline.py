"""The section that compares the model with the previously blessed one on the same test rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tfx.types import Artifact
from tfx.utils import path_utils

from components.model_card.evidence import NotAvailable
from components.model_card.exported_model import ExportedModel
from components.model_card.rows import TestRows
from components.statistics import PairedTest, change_interval, mcnemar


@dataclass(frozen=True)
class BaselineComparison:
    """Compares both models on the same rows.

    Attributes:
        model: id of the baseline in the metadata store.
        accuracy: accuracy of the baseline.
        change: accuracy of the model minus that of the baseline.
        low: lower bound of the 95 % interval of the change.
        high: upper bound.
        test: test of the rows that only one of them classified correctly; the model is first, the baseline second.
        other_answers: number of rows on which their answers differ, including rows that both classified incorrectly.
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
) -> BaselineComparison | NotAvailable:
    """Classifies the test rows with the baseline, if there is one that can still be loaded.

    Args:
        baseline: the model to compare with, or an empty sequence.
        rows: the test rows.
        answers: int [rows], classes that the model predicts.
        load: loads the model from a directory.
    """
    if not baseline:
        return NotAvailable("no other blessed model is there")
    [artifact] = baseline
    try:
        model = load(path_utils.serving_model_path(artifact.uri))
        theirs = model.probabilities(rows.texts).argmax(axis=1)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        return NotAvailable(f"the baseline, model {artifact.id}, cannot be asked: {type(error).__name__}: {error}")
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
