"""A card as its readers see it, before it becomes HTML or Markdown: sections of paragraphs, tables and plots."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from components.model_card.evidence import Missing, Share


@dataclass(frozen=True)
class Paragraph:
    """A text; one that warns is set apart."""

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
    """Texts in rows, the first of each row its heading.

    Attributes:
        caption: what the table shows.
        columns: heading of each column; none for a table of names and values.
        rows: the cells.
        texts: how many columns hold texts; those after them hold numbers. None: all hold texts.
        heat: from 0 to 1 for each cell after the first, for a colour in its background.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int | None = 1
    heat: Sequence[Sequence[float]] | None = None
    kind: str = "table"


@dataclass(frozen=True)
class Plot:
    """A picture, what it shows in words, and its width where there is room, in pixels."""

    svg: Markup
    title: str
    description: str
    width: int
    kind: str = "plot"


Block = Paragraph | Items | Table | Plot


@dataclass(frozen=True)
class Section:
    """A part of the card. `id` is its anchor."""

    id: str
    title: str
    blocks: Sequence[Block]


def facts(caption: str, values: dict[str, object]) -> Table:
    """A table of names and values."""
    return Table(caption, (), [[name, str(value)] for name, value in values.items()], texts=None)


def unavailable(missing: Missing) -> Paragraph:
    """Says why something is not there."""
    return Paragraph(f"Not available: {missing.not_available}.")


def number(value: float | None) -> str:
    """Four decimals; nothing for None."""
    return "" if value is None else f"{value:.4f}"


def change(value: float) -> str:
    """Four decimals with their sign."""
    return f"{value:+.4f}"


def interval(share: Share) -> str:
    """Both bounds."""
    return f"{share.low:.4f} to {share.high:.4f}"
