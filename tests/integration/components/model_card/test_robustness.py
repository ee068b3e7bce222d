import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model_card.evidence import NotAvailable
from components.model_card.robustness import CHECKS, check_robustness
from components.model_card.rows import TestRows, Texts

CHANGES = {check.name: check.change for check in CHECKS}


def change(name, title, description, seed=1):
    return CHANGES[name](title, description, random.Random(seed))


def test_names_and_countries_are_replaced_by_others_and_nothing_else_is():
    title, description = change("countries swapped", "France and Iraq", "The Francean in France")
    assert "France" not in title.split() + description.split()
    assert "Iraq" not in title
    assert description.startswith("The Francean in ")
    assert change("names swapped", "Maria won", "in Iraq")[1] == "in Iraq"
    assert change("names swapped", "Maria won", "")[0] != "Maria won"


def test_parts_are_left_out():
    assert change("title only", "Title", "one two three") == ("Title", "")
    assert change("truncation", "Title", "one two three") == ("Title", "one two")


def test_about_one_long_word_of_ten_has_a_typo_and_short_words_have_none():
    words = ["electricity"] * 1000
    changed, short = change("typos", " ".join(words), "the cat sat")
    assert 60 < sum(word != "electricity" for word in changed.split()) < 140
    assert short == "the cat sat"


@pytest.mark.parametrize("name", CHANGES)
@given(title=st.text(), description=st.text(), seed=st.integers())
def test_any_text_can_be_changed_and_the_same_seed_changes_it_alike(name, title, description, seed):
    first = change(name, title, description, seed)
    assert first == change(name, title, description, seed)
    assert all(isinstance(text, str) for text in first)


class Shouter:
    """Answers with the second class for texts in upper case, with the first for all others."""

    asked = 0

    def probabilities(self, texts):
        self.asked = max(self.asked, len(texts))
        return np.array([[0.0, 1.0] if title.isupper() else [1.0, 0.0] for title in texts.titles])


def check(limit=10, count=20, title="oil is up"):
    rows = TestRows([str(n) for n in range(count)], Texts([title] * count, [""] * count), np.zeros(count, int), [])
    model = Shouter()
    return check_robustness(model, rows, np.zeros(count, int), limit=limit, seed=1), model


def test_the_change_of_accuracy_is_measured_on_so_many_rows_as_are_allowed():
    found, model = check(limit=10)
    upper = found["upper case"]
    assert (upper.rows, upper.before, upper.after, upper.change, upper.other_answers) == (10, 1.0, 0.0, -1.0, 10)
    assert upper.low < -0.7
    assert model.asked == 10


def test_a_check_that_changes_no_row_says_so_and_asks_nothing():
    found, _ = check()
    assert found["countries swapped"] == NotAvailable("it changes none of the test rows")
    assert isinstance(found["lower case"], NotAvailable)
    assert isinstance(found["title only"], NotAvailable)
