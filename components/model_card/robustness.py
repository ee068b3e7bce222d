"""The section about robustness: how typing errors, case, missing fields and swapped names change the accuracy."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.model_card.evidence import NotAvailable
from components.model_card.exported_model import ExportedModel
from components.model_card.rows import TestRows, Texts
from components.statistics import change_interval

_TYPO_SHARE = 0.1
_SHORTEST_WITH_TYPO = 4
_COUNTRIES = (
    *("Afghanistan", "Argentina", "Australia", "Brazil", "Britain", "Canada", "Chile", "China", "Colombia", "Cuba"),
    *("Egypt", "France", "Germany", "Ghana", "Greece", "India", "Indonesia", "Iran", "Iraq", "Ireland", "Israel"),
    *("Italy", "Japan", "Kenya", "Kuwait", "Lebanon", "Mexico", "Morocco", "Nigeria", "Pakistan", "Peru", "Poland"),
    *("Russia", "Spain", "Sudan", "Sweden", "Switzerland", "Syria", "Turkey", "Ukraine", "Venezuela", "Vietnam"),
)
# Given names from many languages, without names that are frequent English words.
_NAMES = (
    *("Abdul", "Ahmed", "Aisha", "Alejandro", "Alexander", "Andrew", "Anna", "Carlos", "Chen", "Daniel", "David"),
    *("Fatima", "Giovanni", "Hans", "Hiroshi", "Ibrahim", "Ivan", "James", "Jean", "John", "Jose", "Karl", "Kevin"),
    *("Kwame", "Maria", "Michael", "Mohammed", "Natasha", "Olga", "Paul", "Pedro", "Peter", "Priya", "Richard"),
    *("Robert", "Sanjay", "Sarah", "Stephen", "Thomas", "Vladimir", "Wei", "William", "Yasser", "Yuki"),
)


@dataclass(frozen=True)
class Check:
    """A way of changing a text.

    Attributes:
        name: name of the check.
        meaning: description of the change, as a phrase.
        change: function from title and description to the changed title and description.
    """

    name: str
    meaning: str
    change: Callable[[str, str, random.Random], tuple[str, str]]


@dataclass(frozen=True)
class Robustness:
    """The result of a check on the rows that it changes.

    Attributes:
        meaning: description of the change.
        rows: number of rows that were classified.
        before: accuracy on these rows before the change.
        after: accuracy on these rows after the change.
        low: lower bound of the 95 % interval of the change in accuracy.
        high: upper bound.
        other_answers: number of rows whose predicted class changed, whether right or wrong.
    """

    meaning: str
    rows: int
    before: float
    after: float
    low: float
    high: float
    other_answers: int

    @property
    def change(self) -> float:
        """Change in accuracy."""
        return self.after - self.before


def _each(change: Callable[[str, random.Random], str]) -> Callable[[str, str, random.Random], tuple[str, str]]:
    return lambda title, description, generator: (change(title, generator), change(description, generator))


def _with_typos(text: str, generator: random.Random) -> str:
    def mistyped(match: re.Match) -> str:
        word = match.group()
        if generator.random() >= _TYPO_SHARE:
            return word
        place = generator.randrange(len(word) - 1)
        before, pair, after = word[:place], word[place : place + 2], word[place + 2 :]
        return before + generator.choice((pair[::-1], pair[0], pair[0] + pair)) + after

    return re.sub(rf"[^\W\d_]{{{_SHORTEST_WITH_TYPO},}}", mistyped, text)


def _swap_names(names: Sequence[str]) -> Callable[[str, random.Random], str]:
    pattern = re.compile(rf"\b({'|'.join(names)})\b")

    def swap(text: str, generator: random.Random) -> str:
        return pattern.sub(lambda match: generator.choice([name for name in names if name != match.group()]), text)

    return swap


def _first_half(text: str) -> str:
    words = text.split()
    return " ".join(words[: (len(words) + 1) // 2])


CHECKS = (
    Check("typos", "one word of ten with two letters swapped, one left out, or one doubled", _each(_with_typos)),
    Check("lower case", "all letters in lower case", _each(lambda text, _: text.lower())),
    Check("upper case", "all letters in upper case", _each(lambda text, _: text.upper())),
    Check("truncation", "the description's second half left out", lambda title, text, _: (title, _first_half(text))),
    Check("title only", "the description left out", lambda title, text, _: (title, "")),
    Check("names swapped", "given names replaced by others, of other languages among them", _each(_swap_names(_NAMES))),
    Check("countries swapped", "names of countries replaced by those of others", _each(_swap_names(_COUNTRIES))),
)


def check_robustness(
    model: ExportedModel, rows: TestRows, answers: np.ndarray, *, limit: int, seed: int
) -> dict[str, Robustness | NotAvailable]:
    """Classifies changed texts; returns the results by the name of the check.

    Args:
        model: the model to check.
        rows: the test rows.
        answers: int [rows], predicted classes of the unchanged rows.
        limit: maximum number of rows per check, sampled from the rows that the check changes.
        seed: seed of the sample and of the changes.
    """
    return {
        check.name: _run(check, model, rows, answers, limit, random.Random(f"{seed} {check.name}")) for check in CHECKS
    }


def _run(
    check: Check, model: ExportedModel, rows: TestRows, answers: np.ndarray, limit: int, generator: random.Random
) -> Robustness | NotAvailable:
    changed = {}
    for row, original in enumerate(zip(rows.texts.titles, rows.texts.descriptions, strict=True)):
        text = check.change(*original, generator)
        if text != original:
            changed[row] = text
    if not changed:
        return NotAvailable("it changes none of the test rows")
    drawn = sorted(generator.sample(sorted(changed), min(limit, len(changed))))
    titles, descriptions = zip(*(changed[row] for row in drawn), strict=True)
    now = model.probabilities(Texts(list(titles), list(descriptions))).argmax(axis=1)
    right_before, right_after = answers[drawn] == rows.labels[drawn], now == rows.labels[drawn]
    return Robustness(
        check.meaning,
        len(drawn),
        float(right_before.mean()),
        float(right_after.mean()),
        *change_interval(right_before, right_after),
        int((answers[drawn] != now).sum()),
    )
