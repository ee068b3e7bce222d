import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.rows import LabelledItem, RawRow, RejectedRow, parse_label, validate_row
from schema.news_items import RejectReason


def raw(title="Oil up", description="Prices rose.", label=2, class_as_read="3"):
    return RawRow("train.csv", 7, label, title, description, class_as_read)


@pytest.mark.parametrize(
    ("value", "first", "label"), [("1", 1, 0), ("4", 1, 3), (3, 0, 3), ("Sci/Tech", 1, 3), (" 2 ", 1, 1)]
)
def test_class_numbers_and_names_become_labels(value, first, label):
    assert parse_label(value, first=first) == label


@pytest.mark.parametrize("value", ["0", "5", "", "one", None, "1.0", "١", "11", "-1", True])
def test_other_values_have_no_label(value):
    assert parse_label(value, first=1) is None


def test_a_valid_row_keeps_its_text_verbatim():
    assert validate_row(raw(), max_chars=100) == LabelledItem("Oil up", "Prices rose.", label=2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (raw(label=None, class_as_read="9"), RejectReason.UNKNOWN_CLASS),
        (raw(title="bad \udcff"), RejectReason.BAD_UTF8),
        (raw(title=" ", description="\n"), RejectReason.EMPTY_TEXT),
        (raw(description="x" * 100), RejectReason.TOO_LONG),
    ],
)
def test_a_rejected_row_has_file_number_and_reason(row, reason):
    rejected = validate_row(row, max_chars=100)
    assert (rejected.file, rejected.number, rejected.reason) == ("train.csv", 7, reason)


def test_a_title_alone_is_enough():
    assert validate_row(raw(description=""), max_chars=100) == LabelledItem("Oil up", "", label=2)


def test_a_row_at_the_length_limit_is_valid():
    assert isinstance(validate_row(raw(title="a" * 60, description="b" * 40), max_chars=100), LabelledItem)


def test_rejected_rows_with_invalid_utf8_can_be_written_as_json():
    line = RejectedRow("a.csv", 1, RejectReason.BAD_UTF8, "\udcff").to_json()
    assert json.loads(line)["reason"] == "bad_utf8"


def test_the_id_distinguishes_title_and_description():
    assert LabelledItem("ab", "c", label=0).id != LabelledItem("a", "bc", label=0).id


def test_the_id_does_not_depend_on_the_label():
    assert LabelledItem("a", "b", label=0).id == LabelledItem("a", "b", label=3).id


def test_about_the_requested_share_goes_to_validation():
    rows = [LabelledItem(f"title {index}", "text", label=0) for index in range(4000)]
    assert 150 < sum(row.split(0.05) == "val" for row in rows) < 250


def test_a_larger_share_keeps_the_rows_of_a_smaller_one():
    rows = [LabelledItem(f"title {index}", "text", label=0) for index in range(1000)]
    assert {row.id for row in rows if row.split(0.05) == "val"} < {row.id for row in rows if row.split(0.2) == "val"}


@given(st.text(), st.text(), st.one_of(st.none(), st.integers(0, 3)))
def test_any_text_is_either_valid_or_rejected(title, description, label):
    outcome = validate_row(raw(title, description, label), max_chars=50)
    if isinstance(outcome, LabelledItem):
        assert (outcome.title, outcome.description, outcome.label) == (title, description, label)
        assert outcome.text_length <= 50
    else:
        assert isinstance(outcome, RejectedRow)
