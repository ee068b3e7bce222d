from collections import Counter

import pytest

from components.example_gen.readers import read_rows
from components.example_gen.rows import LabelledItem, validate_row
from components.example_gen.synthetic import write_synthetic


def rows(directory, name="train.csv"):
    return [validate_row(row, max_chars=10_000) for row in read_rows(str(directory / name))]


@pytest.fixture
def sample(tmp_path):
    write_synthetic(tmp_path / "sample", train_rows=400, test_rows=100, seed=7)
    return tmp_path / "sample"


def test_every_synthetic_row_is_good_and_classes_are_balanced(sample):
    assert all(isinstance(row, LabelledItem) for row in rows(sample))
    assert Counter(row.label for row in rows(sample)) == {0: 100, 1: 100, 2: 100, 3: 100}


def test_the_same_seed_gives_the_same_files(sample, tmp_path):
    write_synthetic(tmp_path / "again", train_rows=400, test_rows=100, seed=7)
    assert (tmp_path / "again/train.csv").read_bytes() == (sample / "train.csv").read_bytes()


def test_another_seed_gives_other_rows(sample, tmp_path):
    write_synthetic(tmp_path / "other", train_rows=400, test_rows=100, seed=8)
    assert (tmp_path / "other/train.csv").read_bytes() != (sample / "train.csv").read_bytes()


def test_no_word_decides_alone(sample):
    """The most telling word of any class also stands in other classes' rows, and not in all of its own."""
    labels_of_word = {}
    for row in rows(sample):
        for word in set(row.description.lower().replace(".", "").split()):
            labels_of_word.setdefault(word, []).append(row.label)
    for labels in labels_of_word.values():
        [(_, count)] = Counter(labels).most_common(1)
        assert count < 60 or len(set(labels)) > 1


def test_an_existing_directory_is_left_as_it_is(sample):
    (sample / "train.csv").write_text("mine")
    write_synthetic(sample, train_rows=400, test_rows=100, seed=7)
    assert (sample / "train.csv").read_text() == "mine"


def test_nothing_half_written_stays_behind(sample):
    assert [path.name for path in sample.parent.iterdir()] == ["sample"]
