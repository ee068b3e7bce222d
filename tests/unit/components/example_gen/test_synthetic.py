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


def test_synthetic_rows_are_valid_and_classes_balanced(sample):
    assert all(isinstance(row, LabelledItem) for row in rows(sample))
    assert Counter(row.label for row in rows(sample)) == {0: 100, 1: 100, 2: 100, 3: 100}


def test_the_same_seed_gives_the_same_files(sample, tmp_path):
    write_synthetic(tmp_path / "again", train_rows=400, test_rows=100, seed=7)
    assert (tmp_path / "again/train.csv").read_bytes() == (sample / "train.csv").read_bytes()


def test_another_seed_gives_other_rows(sample, tmp_path):
    write_synthetic(tmp_path / "other", train_rows=400, test_rows=100, seed=8)
    assert (tmp_path / "other/train.csv").read_bytes() != (sample / "train.csv").read_bytes()


def test_no_single_word_determines_the_class(sample):
    """The most indicative word of each class also occurs in other classes, and not in all rows of its own."""
    labels_of_word = {}
    for row in rows(sample):
        for word in set(row.description.lower().replace(".", "").split()):
            labels_of_word.setdefault(word, []).append(row.label)
    for labels in labels_of_word.values():
        [(_, count)] = Counter(labels).most_common(1)
        assert count < 60 or len(set(labels)) > 1


def test_an_existing_directory_is_not_changed(sample):
    (sample / "train.csv").write_text("mine")
    write_synthetic(sample, train_rows=400, test_rows=100, seed=7)
    assert (sample / "train.csv").read_text() == "mine"


def test_no_partial_files_remain(sample):
    assert [path.name for path in sample.parent.iterdir()] == ["sample"]
