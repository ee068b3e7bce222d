"""Long tables in pages, sorted and filtered by the address alone, so that no script is needed."""

from collections.abc import Callable, Mapping, Sequence
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
        rows: of this page.
        total: rows of all pages.
        page: from 1 on.
        pages: their number, at least 1.
        sort: name of the column that the rows are sorted by.
        descending: whether the greatest value comes first.
        query: what the address holds.
    """

    rows: Sequence[Row]
    total: int
    page: int
    pages: int
    sort: str
    descending: bool
    query: Mapping[str, str]

    def link(self, **changes: object) -> str:
        """The address of this table with other parameters."""
        return "?" + urlencode({**self.query, **{name: str(value) for name, value in changes.items()}})

    def sort_link(self, column: str) -> str:
        """Sorts by a column; by the same one again, the other way round."""
        order = "asc" if column == self.sort and self.descending else "desc"
        return self.link(sort=column, order=order, page=1)


def paginate(
    query: QueryParams,
    rows: Sequence[Row],
    keys: Mapping[str, Callable[[Row], Any]],
    *,
    sort: str,
    rows_per_page: int = ROWS_PER_PAGE,
) -> TablePage[Row]:
    """Sorts the rows and takes a page of them; what the address holds and nobody knows is ignored.

    Args:
        query: of the request: `sort`, `order` ("asc" or "desc"), `page`.
        rows: all of them.
        keys: what a column is sorted by; rows without a value come last, either way.
        sort: the column where the address names none, the greatest first.
        rows_per_page: of one page.
    """
    column = query.get("sort", sort)
    column = column if column in keys else sort
    descending = query.get("order", "desc") != "asc"
    key = keys[column]
    known = sorted((row for row in rows if key(row) is not None), key=key, reverse=descending)
    ordered = [*known, *(row for row in rows if key(row) is None)]
    pages = max(1, -(-len(ordered) // rows_per_page))
    asked = query.get("page", "1")
    # The first digits are enough: no table has more pages, and no number is parsed that is longer.
    page = min(max(int(asked[:9]) if asked.isdecimal() and asked.isascii() else 1, 1), pages)
    shown = ordered[(page - 1) * rows_per_page : page * rows_per_page]
    return TablePage(shown, len(ordered), page, pages, column, descending, dict(query))
