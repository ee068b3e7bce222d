"""Tests that both forms of the rows of a comparison have the same rows."""

import io

import numpy as np
import pytest
from rich.console import Console

from components.example_gen.synthetic import write_synthetic
from pipeline.cli.data import resolve_source
from pipeline.experiments.compare.data import prepare
from pipeline.runners.display import PlainDisplay
from pipeline.settings import Settings
from schema.features import TEST, TRAIN, VAL
from schema.model_contract import OOV_ID, RESERVED_IDS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("comparison")
    write_synthetic(root / "data", train_rows=400, test_rows=100, seed=3)
    settings = Settings(pipeline={"root": str(root / "runs")}, data={"path": str(root / "data")})
    with PlainDisplay(Console(file=io.StringIO())) as display:
        return prepare(settings, resolve_source(settings), display)


def test_every_row_is_in_one_split_in_both_forms(data):
    assert len(data.tokens[TRAIN]) + len(data.tokens[VAL]) == 400
    assert len(data.tokens[TEST]) == 100
    for split in (TRAIN, VAL, TEST):
        assert len(data.texts[split].texts) == len(data.tokens[split])
        assert np.array_equal(np.bincount(data.texts[split].labels), np.bincount(data.tokens[split].labels))


def test_rows_of_test_have_the_same_order_in_both_forms(data):
    tokens, texts = data.tokens[TEST], data.texts[TEST]
    assert np.array_equal(tokens.labels, texts.labels)
    for row, text in enumerate(texts.texts):
        ids = tokens.token_ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        known = [data.words[token - RESERVED_IDS] for token in ids if token > OOV_ID]
        assert all(word in text.lower() for word in known)
        assert len(known) >= len(ids) / 2


def test_a_title_begins_the_text(data):
    texts = data.texts[VAL]
    assert all(text.startswith(title) for title, text in zip(texts.titles, texts.texts, strict=True))
    assert all(data.tokens[VAL].title_counts > 0)
