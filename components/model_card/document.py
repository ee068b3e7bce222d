"""The content of a card before it becomes HTML or Markdown: sections of paragraphs, tables and plots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import jinja2
from markupsafe import Markup

from components.model_card.evidence import NotAvailable, Share
from schema.wording import amount

Value = TypeVar("Value")


@dataclass(frozen=True)
class Paragraph:
    """A text; a warning is highlighted."""

    text: str
    warning: bool = False
    kind: str = "paragraph"


@dataclass(frozen=True)
class Items:
    """A list of texts under a heading."""

    caption: str
    entries: Sequence[str]
    kind: str = "items"


@dataclass(frozen=True)
class Table:
    """A table of texts; the first cell of each row is its heading.

    Attributes:
        caption: description of the table.
        columns: heading of each column; empty for a table of names and values.
        rows: the cells.
        texts: number of leading columns that hold texts; the others hold numbers. None means that all hold texts.
        heat: intensity of the background colour from 0 to 1, for each cell after the first.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int | None = 1
    heat: Sequence[Sequence[float]] | None = None
    kind: str = "table"


@dataclass(frozen=True)
class Plot:
    """A picture, its description in words, and its preferred width in pixels."""

    svg: Markup
    title: str
    description: str
    width: int
    kind: str = "plot"


Block = Paragraph | Items | Table | Plot


@dataclass(frozen=True)
class CardSection:
    """A section of the card. `id` is its anchor."""

    id: str
    title: str
    blocks: Sequence[Block]


def facts(caption: str, values: dict[str, object]) -> Table:
    """Returns a table of names and values."""
    return Table(caption, (), [[name, str(value)] for name, value in values.items()], texts=None)


def unavailable(missing: NotAvailable, subject: str = "") -> Paragraph:
    """Returns a paragraph that says why a section is missing, or the `subject` in it."""
    return Paragraph(f"{f'{subject} is not' if subject else 'Not'} available: {missing.not_available}.")


def value_or_reason(value: Value | NotAvailable, text: Callable[[Value], str]) -> str:
    """Formats a value with a function, or says why it is missing."""
    return f"not available: {value.not_available}" if isinstance(value, NotAvailable) else text(value)


def number(value: float | None) -> str:
    """Formats a number with four decimals; None becomes an empty text."""
    return "" if value is None else f"{value:.4f}"


def change(value: float) -> str:
    """Formats a change with its sign and four decimals."""
    return f"{value:+.4f}"


def interval(share: Share) -> str:
    """Formats both bounds of a share's interval."""
    return f"{share.low:.4f} to {share.high:.4f}"


def template_environment(*packages: str) -> jinja2.Environment:
    """Returns an environment with the templates of the packages, and with those and the style sheet of the model card.

    Templates whose names end in `.html.j2` are escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in (*packages, "components.model_card")]),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["amount"] = amount
    return environment
