"""Compares the predictions of the stable and the canary version: agreement, accuracy and latency."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.statistics import PairedTest, mcnemar, wilson_interval
from serving.client import CANARY, STABLE
from serving.client.canary_comparison import Answers, Pair

LABELS = (STABLE, CANARY)
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class CanaryReport:
    """A comparison of both labels on the same items.

    Attributes:
        versions: versions that answered, by label; several if a label moved during the comparison.
        asked: number of items sent.
        failures: reasons of failed requests, by label.
        compared: number of items that both labels classified.
        agreement: share of compared items with the same predicted class.
        agreement_interval: 95 % Wilson interval of `agreement`.
        largest_shift: largest difference of any class's probability.
        changed: pairs with different predicted classes.
        labelled: number of compared items with a known true class.
        accuracy: accuracy on labelled items, by label; empty if there are none.
        test: McNemar's test on labelled items, stable first; None if there are none.
        milliseconds: latency percentiles, by label.
    """

    versions: Mapping[str, Sequence[int]]
    asked: int
    failures: Mapping[str, Sequence[str]]
    compared: int
    agreement: float
    agreement_interval: tuple[float, float]
    largest_shift: float
    changed: Sequence[Pair]
    labelled: int
    accuracy: Mapping[str, float]
    test: PairedTest | None
    milliseconds: Mapping[str, Mapping[int, float]]

    def moves(self) -> list[tuple[str, str, int]]:
        """Returns (stable's class, canary's class, number of items) of all changed pairs, most frequent first."""
        counts = Counter(tuple(_class(pair, label) for label in LABELS) for pair in self.changed)
        return [(before, after, count) for (before, after), count in counts.most_common()]


def evaluate(answers: Answers) -> CanaryReport:
    """Computes the report from all answers.

    Raises:
        ValueError: no item was classified by both labels.
    """
    pairs = [pair for pair in answers.pairs if all(pair.answers.values())]
    if not pairs:
        raise ValueError("no item was answered by both labels")
    agree = np.array([_class(pair, STABLE) == _class(pair, CANARY) for pair in pairs])
    labelled = [pair for pair in pairs if pair.true_class is not None]
    correct = {label: np.array([_class(pair, label) == pair.true_class for pair in labelled]) for label in LABELS}
    return CanaryReport(
        versions={label: sorted({_answer(pair, label).model_version for pair in pairs}) for label in LABELS},
        asked=len(answers.pairs),
        failures=answers.failures,
        compared=len(pairs),
        agreement=float(agree.mean()),
        agreement_interval=wilson_interval(int(agree.sum()), len(agree)),
        largest_shift=max(_shift(pair) for pair in pairs),
        changed=[pair for pair, same in zip(pairs, agree, strict=True) if not same],
        labelled=len(labelled),
        accuracy={label: float(correct[label].mean()) for label in LABELS} if labelled else {},
        test=mcnemar(correct[STABLE], correct[CANARY]) if labelled else None,
        milliseconds={label: _percentiles(answers.seconds[label]) for label in LABELS},
    )


def _percentiles(seconds: Sequence[float]) -> dict[int, float]:
    return dict(zip(PERCENTILES, (1e3 * np.percentile(seconds, PERCENTILES)).tolist(), strict=True))


def _shift(pair: Pair) -> float:
    stable, canary = (_answer(pair, label).probabilities for label in LABELS)
    return max(abs(stable.get(name, 0.0) - canary.get(name, 0.0)) for name in stable.keys() | canary.keys())


def _class(pair: Pair, label: str) -> str:
    return _answer(pair, label).label


def _answer(pair: Pair, label: str):
    answer = pair.answers[label]
    assert answer is not None
    return answer
