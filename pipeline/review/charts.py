"""The plots of the site: a figure of many models in their order, and a histogram."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from components.model_card.document import Plot
from components.model_card.plots import BOTTOM, LEFT, RIGHT, TOP, Scale, svg_grid, svg_line, svg_plot, svg_text

_WIDTH, _HEIGHT = 720, 260
_LEGEND_HEIGHT = 20
_MOST_DOTS = 60
_Points = Sequence[float | None]


def trend(name: str, title: str, models: Sequence[int], series: Mapping[str, _Points], link: str) -> Plot:
    """Lines over models in the order of their training; each dot leads to its model.

    Args:
        name: of the plot, unlike any other on the page.
        title: what it shows.
        models: their ids; two at least.
        series: at most four lines, of each a value a model, None where it has none.
        link: of a model, with {} for its id.
    """
    height = _HEIGHT + _LEGEND_HEIGHT
    values = [value for line in series.values() for value in line if value is not None]
    x = Scale(0, max(len(models) - 1, 1), LEFT, _WIDTH - RIGHT, whole=True)
    y = Scale(min(values), max(values), _HEIGHT - BOTTOM, TOP)
    body = svg_grid(y, _WIDTH)
    for place in sorted({round(index * (len(models) - 1) / 6) for index in range(7)}):
        anchor = "tick end" if place == len(models) - 1 else "tick middle"
        body += svg_text(x(place), _HEIGHT - BOTTOM + 16, str(models[place]), anchor)
    body += svg_text(_WIDTH - RIGHT, _HEIGHT - BOTTOM + 32, "model", "tick end")
    words = []
    for index, (label, line) in enumerate(series.items()):
        known = [(place, value) for place, value in enumerate(line) if value is not None]
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in known)
        body += Markup('<polyline class="line c{}" points="{}"/>').format(index, points)
        if len(known) <= _MOST_DOTS:
            for place, value in known:
                body += _linked_dot(x(place), y(value), index, link.format(models[place]), models[place], value)
        start = LEFT + 160 * index
        body += svg_line(f"line c{index}", start, height - 8, start + 28, height - 8)
        body += svg_text(start + 34, height - 4, label, f"legend c{index}")
        if known:
            words.append(
                f"{label} from {known[0][1]:.4g} to {known[-1][1]:.4g}, "
                f"lowest {min(value for _, value in known):.4g}, highest {max(value for _, value in known):.4g}"
            )
    description = f"Of the models {models[0]} to {models[-1]}: {'; '.join(words)}. The table has all values."
    return svg_plot(name, title, description, body, _WIDTH, height)


def _linked_dot(x: float, y: float, index: int, link: str, model: int, value: float) -> Markup:
    return Markup(
        '<a href="{}" tabindex="-1"><circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3.5">'
        "<title>model {}: {:.4g}</title></circle></a>"
    ).format(link, index, x, y, model, value)


def histogram(name: str, title: str, buckets: Sequence[tuple[float, float, float]]) -> Plot:
    """Bars over ranges of a number.

    Args:
        name: of the plot, unlike any other on the page.
        title: what it shows.
        buckets: of each its bounds and how many values lie between them.
    """
    width, height = 420, 220
    x = Scale(buckets[0][0], buckets[-1][1], LEFT, width - RIGHT)
    y = Scale(0, max(1.0, *(count for _, _, count in buckets)), height - BOTTOM, TOP)
    body = svg_grid(y, width)
    for low, high, count in buckets:
        body += Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        ).format(
            x(low), y(count), max(1.0, x(high) - x(low) - 1), y(0) - y(count), f"{low:g} to {high:g}: {count:,.0f}"
        )
    for tick in x.ticks:
        body += svg_text(x(tick), height - BOTTOM + 16, f"{tick:,.4g}", "tick middle")
    words = "; ".join(f"{low:g} to {high:g}: {count:,.0f}" for low, high, count in buckets)
    return svg_plot(name, title, f"Rows by value: {words}.", body, width, height)
