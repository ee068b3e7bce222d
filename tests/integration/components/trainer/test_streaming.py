import weakref

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import input_pipeline
from components.trainer.batches import Buckets, TokenizedRows, bucketed_batches
from components.trainer.input_pipeline import StreamedRows, open_rows, read_rows
from components.trainer.training import train

BUCKETS = Buckets((4, 8), 40)


@pytest.fixture
def pattern(tmp_path):
    """Writes three files with 30 rows each; the first token of a row is its number plus two."""
    for file in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"rows-{file}.gz"), "GZIP") as writer:
            for number in range(30 * file, 30 * file + 30):
                numbers = {"token_ids": [number + 2] * (1 + number % 11), "title_tokens": [1], "label": [number % 4]}
                features = {
                    name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                    for name, value in numbers.items()
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return str(tmp_path / "rows-*.gz")


def numbers(dataset):
    return [ids[:, 0].tolist() for ids, _ in dataset.as_numpy_iterator()]


def content(dataset):
    return sorted(
        (tuple(row[row != 0].tolist()), int(label))
        for ids, labels in dataset.as_numpy_iterator()
        for row, label in zip(ids, labels, strict=True)
    )


def test_rows_that_fit_are_read_into_memory(pattern):
    rows = open_rows([pattern], max_memory_rows=90)
    assert isinstance(rows, TokenizedRows)
    np.testing.assert_array_equal(rows.token_ids, read_rows([pattern]).token_ids)


def test_rows_are_streamed_if_one_is_too_many(pattern):
    rows = open_rows([pattern], max_memory_rows=89)
    assert isinstance(rows, StreamedRows)
    assert len(rows) == 90


def test_each_pass_has_the_known_number_of_batches(pattern):
    dataset = bucketed_batches(open_rows([pattern], max_memory_rows=25), BUCKETS, seed=1)
    assert {len(numbers(dataset)) for _ in range(3)} == {dataset.cardinality().numpy()}


def test_streamed_and_in_memory_passes_have_the_same_rows(pattern):
    streamed, in_memory = (open_rows([pattern], max_memory_rows=count) for count in (20, 1000))
    assert content(bucketed_batches(streamed, BUCKETS, seed=1)) == content(bucketed_batches(in_memory, BUCKETS, seed=1))
    assert content(bucketed_batches(streamed.titles(), BUCKETS)) == content(
        bucketed_batches(in_memory.titles(), BUCKETS)
    )


def test_a_window_mixes_the_files(pattern):
    window = next(open_rows([pattern], max_memory_rows=24).windows())
    files = {(int(number) - 2) // 30 for number in window.token_ids[window.offsets[:-1]]}
    assert (len(window), files) == (12, {0, 1, 2})


def test_the_order_of_streamed_rows_depends_on_pass_and_seed(pattern):
    rows = open_rows([pattern], max_memory_rows=40)
    dataset = bucketed_batches(rows, BUCKETS, seed=1)
    first, second = numbers(dataset), numbers(dataset)
    again = bucketed_batches(rows, BUCKETS, seed=1)
    assert first != second
    assert (numbers(again), numbers(again)) == (first, second)


def test_at_most_two_windows_are_in_memory(pattern, monkeypatch):
    alive, seen = [], []
    decode = input_pipeline.decode_rows

    def watched(batches):
        rows = decode(batches)
        alive.append(len(rows))
        seen.append(sum(alive))
        weakref.finalize(rows, alive.remove, len(rows))
        return rows

    monkeypatch.setattr(input_pipeline, "decode_rows", watched)
    rows = open_rows([pattern], max_memory_rows=20)
    numbers(bucketed_batches(rows, BUCKETS, seed=1, count=BUCKETS.batch_count(rows)))
    # Three passes of nine windows and the end: fingerprint, number of batches, and batches.
    assert len(seen) == 30
    assert max(seen) <= 20


def test_the_fingerprint_depends_on_the_files(pattern, tmp_path):
    first, again = (open_rows([pattern], max_memory_rows=20).fingerprint() for _ in range(2))
    fewer = open_rows([str(tmp_path / "rows-[01].gz")], max_memory_rows=20).fingerprint()
    assert first == again
    assert fewer != first


def test_a_training_on_streamed_rows_learns(pattern, val_rows, recipe, tmp_path):
    rows = open_rows([pattern], max_memory_rows=40)
    names = [f"w{number}" for number in range(90)]
    trained = train(
        rows,
        val_rows,
        names,
        recipe(epochs=2, plain_epochs=2, word_vectors="learned"),
        checkpoint_root=str(tmp_path / "points"),
    )
    loss = trained.facts["history"]["loss"]
    assert loss[-1] < loss[0]
    assert trained.facts["rows"] == 90
