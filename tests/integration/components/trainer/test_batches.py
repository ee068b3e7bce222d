import numpy as np
import pytest

from components.trainer.batches import Buckets, TokenizedRows, bucketed_batches

BUCKETS = Buckets((4, 8), 40)


@pytest.fixture
def rows():
    """Returns 100 rows of 1 to 11 tokens; all tokens of a row are its number plus one."""
    counts = np.array([1 + index % 11 for index in range(100)])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    ids = np.concatenate([[index + 1] * count for index, count in enumerate(counts)]).astype(np.int32)
    return TokenizedRows(ids, offsets, (counts + 1) // 2, np.arange(100, dtype=np.int64) % 4)


def first_tokens(dataset):
    return [ids[:, 0].tolist() for ids, _ in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("seed", [None, 1])
def test_a_pass_yields_each_row_once(rows, seed):
    seen = [number for batch in first_tokens(bucketed_batches(rows, BUCKETS, seed=seed)) for number in batch]
    assert sorted(seen) == list(range(1, 101))


def test_rows_of_a_batch_have_similar_lengths_and_are_padded_on_the_right(rows):
    for ids, labels in bucketed_batches(rows, BUCKETS, seed=1).as_numpy_iterator():
        counts = (ids != 0).sum(axis=1)
        assert len(set(np.digitize(counts, BUCKETS.boundaries))) == 1
        assert ids.shape == (len(labels), counts.max())
        for row, count, label in zip(ids, counts, labels, strict=True):
            assert (row[:count] == row[0]).all()
            assert label == (row[0] - 1) % 4


def test_the_number_of_batches_is_known_in_advance(rows):
    dataset = bucketed_batches(rows, BUCKETS, seed=1)
    assert BUCKETS.batch_count(rows) == len(list(dataset)) == dataset.cardinality()


def test_batches_have_about_the_same_number_of_tokens(rows):
    sizes = [ids.shape for ids, _ in bucketed_batches(rows, BUCKETS).as_numpy_iterator()]
    assert max(batch * time for batch, time in sizes) <= 40
    assert {batch for batch, time in sizes if time <= 3} == {13, 2}
    assert {batch for batch, time in sizes if time >= 8} <= {3, 1}


def test_a_row_longer_than_a_batch_is_a_batch(rows):
    assert Buckets((), 5).batch_count(rows) == 100


def test_no_boundaries_mean_one_bucket(rows):
    assert Buckets((), 88).batch_count(rows) == 13


def test_a_later_first_pass_has_the_order_of_that_pass(rows):
    dataset = bucketed_batches(rows, BUCKETS, seed=1)
    orders = [first_tokens(dataset) for _ in range(3)]
    assert first_tokens(bucketed_batches(rows, BUCKETS, seed=1, first_pass=2)) == orders[2]


def test_titles_are_the_first_tokens(rows):
    titles = rows.titles()
    assert titles.token_counts.tolist() == rows.title_counts.tolist()
    assert titles.token_ids[titles.offsets[:-1]].tolist() == list(range(1, 101))
    np.testing.assert_array_equal(titles.labels, rows.labels)


def test_select_returns_the_rows_of_the_indices(rows):
    selected = rows.select(np.array([7, 3]))
    assert selected.token_counts.tolist() == [8, 4]
    assert selected.token_ids.tolist() == [8] * 8 + [4] * 4
    assert selected.labels.tolist() == [3, 3]


def test_the_fingerprint_depends_on_the_content(rows):
    every = np.arange(100)
    assert rows.select(every).fingerprint() == rows.fingerprint()
    assert rows.select(every[::-1]).fingerprint() != rows.fingerprint()


def test_the_order_depends_on_pass_and_seed(rows):
    dataset = bucketed_batches(rows, BUCKETS, seed=1)
    first, second = first_tokens(dataset), first_tokens(dataset)
    again = bucketed_batches(rows, BUCKETS, seed=1)
    assert first != second
    assert (first_tokens(again), first_tokens(again)) == (first, second)
    assert first_tokens(bucketed_batches(rows, BUCKETS, seed=2)) != first
