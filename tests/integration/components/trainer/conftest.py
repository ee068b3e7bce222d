"""Rows, words and recipe of tiny trainings."""

import pytest

from tests.support.tiny_training import TINY, WORDS, make_rows


@pytest.fixture(scope="session")
def train_rows():
    return make_rows(400, seed=1)


@pytest.fixture(scope="session")
def val_rows():
    return make_rows(80, seed=2)


@pytest.fixture(scope="session")
def words():
    return WORDS


@pytest.fixture(scope="session")
def recipe():
    """Returns a function that returns the tiny recipe with changed fields."""
    return lambda **changes: TINY.model_copy(update=changes)
