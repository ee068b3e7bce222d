import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.spans import is_dated, matching_files, newest_versions, span_name, span_of_date

DATES = "{YYYY}-{MM}-{DD}/train.csv"


def put(directory, *names):
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("")


def found(directory, pattern):
    return newest_versions(str(directory), pattern)


def test_spans_are_numbers(tmp_path):
    put(tmp_path, "1/train.csv", "12/train.csv", "12/test.csv")
    assert found(tmp_path, "{SPAN}/train.csv") == {1: None, 12: None}


def test_dates_are_days_since_1970(tmp_path):
    put(tmp_path, "1970-01-02/train.csv", "2026-03-01/train.csv")
    assert found(tmp_path, DATES) == {1: None, 20513: None}
    assert span_name(20513, DATES) == "2026-03-01"
    assert span_name(20513, "{SPAN}.csv") == "20513"


def test_the_highest_version_of_a_span_counts_as_a_number(tmp_path):
    put(tmp_path, "1/v2/train.csv", "1/v10/train.csv", "2/v1/train.csv")
    assert found(tmp_path, "{SPAN}/v{VERSION}/train.csv") == {1: 10, 2: 1}


def test_a_width_is_a_number_of_digits(tmp_path):
    put(tmp_path, "rows0007.csv", "rows12345.csv")
    assert found(tmp_path, "rows{SPAN:4}.csv") == {7: None}


def test_names_that_do_not_match_are_not_spans(tmp_path):
    put(tmp_path, "old/train.csv", "2026-02-31/train.csv", "2026-3-1/train.csv", "2026-03-01/train.csv")
    assert found(tmp_path, "{SPAN}/train.csv") == {}
    assert found(tmp_path, DATES) == {20513: None}


def test_a_wildcard_next_to_a_placeholder_still_matches(tmp_path):
    put(tmp_path, "3/train-a.csv", "3/train-b.csv", "4/train.txt")
    assert found(tmp_path, "{SPAN}/train*.csv") == {3: None}
    assert len(matching_files(str(tmp_path), "{SPAN}/train*.csv")) == 2


def test_special_characters_in_the_directory_are_literal(tmp_path):
    directory = tmp_path / "a [new] (data)+ {SPAN}"
    put(directory, "3/train.csv")
    assert found(directory, "{SPAN}/train.csv") == {3: None}


@pytest.mark.parametrize(
    ("pattern", "dated"),
    [("train.csv", False), ("{SPAN}.csv", True), ("{SPAN:3}.csv", True), (DATES, True), ("{YYYY}/train.csv", False)],
)
def test_is_dated_finds_patterns_with_spans(pattern, dated):
    assert is_dated(pattern) is dated


@given(st.dates(min_value=datetime.date(1970, 1, 1)))
def test_dates_and_spans_convert_both_ways(date):
    assert span_name(span_of_date(date), DATES) == date.isoformat()
