"""Sorts, filters and paginates tables by the query string alone, so that pages need no scripts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

ROWS_PER_PAGE = 50
Row = TypeVar("Row")


@dataclass(frozen=True)
class TablePage(Generic[Row]):
    """One page of a table.

    Attributes:
        rows: rows of this page.
        total: number of rows on all pages.
        page: page number, from 1.
        pages: number of pages, at least 1.
        sort: name of the column that the rows are sorted by.
        descending: whether the greatest value comes first.
        query: values of each parameter of the URL.
    """

    rows: Sequence[Row]
    total: int
    page: int
    pages: int
    sort: str
    descending: bool
    query: Mapping[str, Sequence[str]]

    def link(self, **changes: object) -> str:
        """Returns the URL of this table with changed parameters."""
        return "?" + urlencode({**self.query, **changes}, doseq=True)

    def sort_link(self, column: str) -> str:
        """Returns the URL that sorts by a column, or reverses the order if it is already sorted by it."""
        order = "asc" if column == self.sort and self.descending else "desc"
        return self.link(sort=column, order=order, page=1)


def filter_by_text(rows: Iterable[Row], words: str, text_of: Callable[[Row], str]) -> list[Row]:
    """Returns the rows whose text contains all words, in any case and order."""
    wanted = words.casefold().split()
    texts = ((row, text_of(row).casefold()) for row in rows)
    return [row for row, text in texts if all(word in text for word in wanted)]


def paginate(
    query: QueryParams,
    rows: Sequence[Row],
    keys: Mapping[str, Callable[[Row], Any]],
    *,
    sort: str,
    rows_per_page: int = ROWS_PER_PAGE,
) -> TablePage[Row]:
    """Sorts rows and returns one page of them; unknown or invalid parameters are ignored.

    Args:
        query: parameters of the request: `sort`, `order` ("asc" or "desc") and `page`.
        rows: all rows.
        keys: sort key of each column; rows whose key is None always come last.
        sort: default column, sorted in descending order.
        rows_per_page: number of rows on a page.
    """
    column = query.get("sort", sort)
    column = column if column in keys else sort
    descending = query.get("order", "desc") != "asc"
    key = keys[column]
    known = sorted((row for row in rows if key(row) is not None), key=key, reverse=descending)
    ordered = [*known, *(row for row in rows if key(row) is None)]
    pages = max(1, -(-len(ordered) // rows_per_page))
    number = query.get("page", "1")
    # Nine digits exceed any page number; Python refuses to parse numbers of thousands of digits.
    page = min(max(int(number[:9]) if number.isdecimal() and number.isascii() else 1, 1), pages)
    shown = ordered[(page - 1) * rows_per_page : page * rows_per_page]
    values = {name: query.getlist(name) for name in query}
    return TablePage(shown, len(ordered), page, pages, column, descending, values)
