"""Measures drift of a span against earlier ones, with two witnesses for each signal.

A distance alone would refuse the noise of small days, and a test alone would refuse tiny changes of large ones. Drift
therefore needs both: a distance above its limit, and a significant test. The significance level is the allowed rate of
false alarms divided by the number of comparisons (Bonferroni), so that rate is the probability of refusing an ordinary
span.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon

from components.statistics import class_p_values, rise_p_value, sample_p_value
from schema.wording import amount

UNKNOWN_WORDS = "unknown words"
"""Signal: the share of a row's words that no earlier row has, which notices texts in another language."""
SMALL_SPLIT = 1000
"""Number of rows below which a split is compared together with the other small splits."""

L_INFINITY = "L-infinity distance"
JENSEN_SHANNON = "Jensen-Shannon divergence"
RISE = "rise of the mean share"

_BUCKETS = 10
# Scripts without blanks between words: kana, Han, and those of South-East Asia. Each character counts as a word.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|\w+")


@dataclass(frozen=True)
class Rows:
    """Rows of a split.

    Attributes:
        values: values of each compared feature, one per row.
        texts: text of each row.
    """

    values: dict[str, np.ndarray]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def concatenate(cls, parts: Sequence["Rows"]) -> "Rows":
        """Returns all rows of several splits or spans."""
        names = parts[0].values if parts else ()
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
        return cls(values, [text for part in parts for text in part.texts])


@dataclass(frozen=True)
class Limit:
    """The allowed distance of a signal: a feature, or `UNKNOWN_WORDS`."""

    signal: str
    measure: str
    threshold: float


@dataclass(frozen=True)
class Drift:
    """The change of a signal against earlier spans.

    Attributes:
        split: name of the split, or names of the small splits that were compared together.
        feature: the signal.
        measure: name of the distance.
        value: the distance.
        threshold: limit of the distance.
        p_value: probability of such a change between ordinary spans.
        level: limit of `p_value`.
        detail: what changed, for people.
    """

    split: str
    feature: str
    measure: str
    value: float
    threshold: float
    p_value: float = 1.0
    level: float = 0.0
    detail: str = ""

    @property
    def is_significant(self) -> bool:
        """Whether the distance exceeds its limit and is not explained by chance."""
        return self.value > self.threshold and self.p_value < self.level

    def __str__(self) -> str:
        measured = f"{self.measure} {self.value:.3g}, allowed {self.threshold:g}"
        return f"{self.detail} ({measured}; p = {self.p_value:.2g}, drift below {self.level:.2g})"


def measure_drift(
    current: Mapping[str, Rows],
    before: Mapping[str, Rows],
    limits: Sequence[Limit],
    *,
    false_alarm_rate: float,
    names: Mapping[str, Sequence[str]],
) -> list[Drift]:
    """Compares each signal of each split with earlier rows.

    Args:
        current: rows of the span by split.
        before: rows of the earlier spans by split; other splits are not compared.
        limits: signals to compare.
        false_alarm_rate: probability that an ordinary span has a significant drift.
        names: names of the values of categorical features, for the messages.
    """
    groups = _group_splits({split: len(current[split]) for split in current if len(before.get(split, ()))})
    level = false_alarm_rate / max(len(groups) * len(limits), 1)
    return [
        _compare(
            " and ".join(group),
            limit,
            Rows.concatenate([current[split] for split in group]),
            Rows.concatenate([before[split] for split in group]),
            level,
            names.get(limit.signal),
        )
        for group in groups
        for limit in limits
    ]


def _group_splits(sizes: Mapping[str, int]) -> list[list[str]]:
    small = [split for split, rows in sizes.items() if 0 < rows < SMALL_SPLIT]
    return [[split] for split, rows in sizes.items() if rows >= SMALL_SPLIT] + ([small] if small else [])


def _compare(split: str, limit: Limit, current: Rows, before: Rows, level: float, names: Sequence[str] | None) -> Drift:
    if limit.signal == UNKNOWN_WORDS:
        measured = _compare_words(current.texts, before.texts)
    elif limit.measure == L_INFINITY:
        measured = _compare_values(current.values[limit.signal], before.values[limit.signal], limit, level, names)
    else:
        measured = _compare_numbers(current.values[limit.signal], before.values[limit.signal])
    value, p_value, detail = measured
    detail = f"{detail}; {amount(len(current), 'row')} against {len(before):,}"
    return Drift(split, limit.signal, limit.measure, value, limit.threshold, p_value, level, detail)


def _compare_values(
    current: np.ndarray, before: np.ndarray, limit: Limit, level: float, names: Sequence[str] | None
) -> tuple[float, float, str]:
    values, indices = np.unique(np.concatenate([current, before]), return_inverse=True)
    counts, earlier = (
        np.bincount(part, minlength=len(values)) for part in (indices[: len(current)], indices[len(current) :])
    )
    shares, earlier_shares = counts / len(current), earlier / len(before)
    p_values = np.array(class_p_values(counts.tolist(), earlier.tolist()))
    distances = np.abs(shares - earlier_shares)
    # The largest change may be chance where a smaller one is not.
    certain = (distances > limit.threshold) & (p_values < level)
    chosen = int(np.argmax(np.where(certain, distances, 0.0) if certain.any() else distances))
    what = f"class {names[values[chosen]]}" if names else f"value {values[chosen]}"
    detail = f"{what} is {shares[chosen]:.1%} of the rows and was {earlier_shares[chosen]:.1%}"
    return float(distances[chosen]), float(p_values[chosen]), detail


def _compare_numbers(current: np.ndarray, before: np.ndarray) -> tuple[float, float, str]:
    bounds = np.unique(np.quantile(np.concatenate([current, before]), np.linspace(0, 1, _BUCKETS + 1)))
    inner = bounds[1:-1]
    counts, earlier = (
        np.bincount(np.searchsorted(inner, values, side="right"), minlength=len(inner) + 1)
        for values in (current, before)
    )
    distance = float(jensenshannon(counts, earlier, base=2)) ** 2
    detail = f"the median is {np.median(current):g} and was {np.median(before):g}"
    return max(distance, 0.0), sample_p_value(current, before), detail


def _compare_words(current: Sequence[str], before: Sequence[str]) -> tuple[float, float, str]:
    words = [_words(text) for text in before]
    rows_with_word = Counter(word for row in words for word in row)
    # For an earlier row, a word is unknown if no other earlier row has it.
    expected = np.array([_share(sum(rows_with_word[word] == 1 for word in row), row) for row in words])
    shares = np.array([_share(sum(word not in rows_with_word for word in row), row) for row in map(_words, current)])
    detail = f"{shares.mean():.1%} of a text's words are in no earlier text, expected {expected.mean():.1%}"
    # Rows that were seen before have no unknown words, which is no drift.
    return max(float(shares.mean() - expected.mean()), 0.0), rise_p_value(shares, expected), detail


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _share(count: int, row: set[str]) -> float:
    return count / max(len(row), 1)
