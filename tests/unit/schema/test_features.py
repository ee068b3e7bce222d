import pytest

from schema import features
from schema.data_set import AG_NEWS


def test_names_and_labels_come_from_the_curated_schema():
    entries = {entry.name: entry for entry in features.load_schema().feature}
    assert {features.ID, features.TITLE, features.DESCRIPTION, features.LABEL} < set(entries)
    assert features.CLASS_NAMES == ("World", "Sports", "Business", "Sci/Tech")
    assert entries["label"].int_domain.max == len(features.CLASS_NAMES) - 1


@pytest.mark.parametrize(
    ("length", "bucket"),
    [(0, "short"), (209, "short"), (210, "medium"), (254, "medium"), (255, "long"), (9999, "long")],
)
def test_lengths_fall_into_thirds(length, bucket):
    assert AG_NEWS.length_bucket(length) == bucket


def test_the_label_is_absent_at_serving_time():
    entries = {entry.name: entry for entry in features.load_schema().feature}
    assert list(entries["label"].not_in_environment) == ["SERVING"]
    assert not entries["title"].not_in_environment
