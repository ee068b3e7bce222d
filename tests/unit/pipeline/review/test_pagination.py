"""Tests of sorting and pagination."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from pipeline.review.pagination import filter_by_text, paginate

ROWS = [("b", 2), ("a", None), ("c", 1)]
KEYS = {"name": lambda row: row[0], "number": lambda row: row[1]}


def shown(query, **options):
    return [row[0] for row in paginate(QueryParams(query), ROWS, KEYS, sort="name", **options).rows]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "cba"),
        ("sort=name&order=asc", "abc"),
        ("sort=number", "bca"),
        ("sort=number&order=asc", "cba"),
        ("sort=colour", "cba"),
    ],
)
def test_rows_are_sorted_and_missing_values_come_last(query, names):
    assert shown(query) == list(names)


@pytest.mark.parametrize(
    ("page", "names"), [("1", "cb"), ("2", "a"), ("99", "a"), ("0", "cb"), ("-1", "cb"), ("x", "cb")]
)
def test_a_page_out_of_range_is_replaced_by_the_nearest(page, names):
    assert shown(f"page={page}", rows_per_page=2) == list(names)


def test_links_keep_other_parameters():
    table = paginate(QueryParams("status=failed&page=2&sort=name&order=desc"), ROWS * 60, KEYS, sort="name")
    assert table.sort_link("name") == "?status=failed&page=1&sort=name&order=asc"
    assert table.sort_link("number") == "?status=failed&page=1&sort=number&order=desc"
    assert table.link(page=3) == "?status=failed&page=3&sort=name&order=desc"
    table = paginate(QueryParams("model=1&model=2"), ROWS * 60, KEYS, sort="name")
    assert table.link(page=3) == "?model=1&model=2&page=3"


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["sort", "order", "page", "status"]), st.text(max_size=30)))
def test_any_query_string_returns_a_page(query):
    table = paginate(QueryParams(query), ROWS, KEYS, sort="name", rows_per_page=2)
    assert 1 <= table.page <= table.pages == 2
    assert re.fullmatch(r"\?[\x21-\x7e]*", table.link(page=1))


def test_rows_are_found_by_all_words_in_any_case():
    rows = ["model 1 Bob", "model 2 ann"]
    assert filter_by_text(rows, "BOB model", str) == ["model 1 Bob"]
    assert filter_by_text(rows, "", str) == rows
