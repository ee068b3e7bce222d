import numpy as np
import pytest
import tensorflow as tf

from components.trainer.input_pipeline import TokenizedRows, bucketed_batches, count_batches, read_rows

BUCKETS = {"batch_size": 8, "boundaries": (4, 8)}


@pytest.fixture
def rows():
    """100 rows of 1 to 11 tokens; the first token of each is its number plus one."""
    counts = np.array([1 + index % 11 for index in range(100)])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    ids = np.concatenate([[index + 1] * count for index, count in enumerate(counts)]).astype(np.int32)
    return TokenizedRows(ids, offsets, np.arange(100, dtype=np.int64) % 4)


def first_tokens(dataset):
    return [ids[:, 0].tolist() for ids, _ in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("seed", [None, 1])
def test_a_pass_holds_each_row_once(rows, seed):
    seen = [number for batch in first_tokens(bucketed_batches(rows, seed=seed, **BUCKETS)) for number in batch]
    assert sorted(seen) == list(range(1, 101))


def test_rows_of_a_batch_have_similar_lengths_and_are_padded_on_the_right(rows):
    for ids, labels in bucketed_batches(rows, seed=1, **BUCKETS).as_numpy_iterator():
        counts = (ids != 0).sum(axis=1)
        assert len(set(np.digitize(counts, BUCKETS["boundaries"]))) == 1
        assert ids.shape == (len(labels), counts.max())
        for row, count, label in zip(ids, counts, labels, strict=True):
            assert (row[:count] == row[0]).all()
            assert label == (row[0] - 1) % 4


def test_the_number_of_batches_is_known_before(rows):
    dataset = bucketed_batches(rows, seed=1, **BUCKETS)
    assert count_batches(rows, **BUCKETS) == len(list(dataset)) == dataset.cardinality()


def test_no_boundaries_mean_one_bucket(rows):
    assert count_batches(rows, batch_size=8, boundaries=()) == 13


def test_each_pass_has_another_order_and_each_seed_its_own(rows):
    dataset = bucketed_batches(rows, seed=1, **BUCKETS)
    first, second = first_tokens(dataset), first_tokens(dataset)
    again = bucketed_batches(rows, seed=1, **BUCKETS)
    assert first != second
    assert (first_tokens(again), first_tokens(again)) == (first, second)
    assert first_tokens(bucketed_batches(rows, seed=2, **BUCKETS)) != first


def write(path, rows):
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for ids, label in rows:
            features = {
                "token_ids": tf.train.Feature(int64_list=tf.train.Int64List(value=ids)),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_examples_of_all_files_are_read(tmp_path):
    write(tmp_path / "b-1.gz", [([9], 3)])
    write(tmp_path / "b-0.gz", [([5, 6, 7], 1), ([8], 2)])
    rows = read_rows([str(tmp_path / "b-*")])
    assert rows.token_ids.tolist() == [5, 6, 7, 8, 9]
    assert rows.token_counts.tolist() == [3, 1, 1]
    assert rows.labels.tolist() == [1, 2, 3]


def test_the_order_in_which_beam_wrote_them_does_not_matter(tmp_path):
    items = [([number, number % 7, 300 + number][: 1 + number % 3], number % 4) for number in range(2, 60)]
    write(tmp_path / "a.gz", items)
    write(tmp_path / "b.gz", items[::-1])
    one, other = (read_rows([str(tmp_path / name)]) for name in ("a.gz", "b.gz"))
    for name in ("token_ids", "offsets", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    read = [(one.token_ids[one.offsets[i] : one.offsets[i + 1]].tolist(), one.labels[i]) for i in range(len(one))]
    assert sorted(read) == sorted(items)


def test_no_files_give_no_rows(tmp_path):
    assert len(read_rows([str(tmp_path / "nothing-*")])) == 0
