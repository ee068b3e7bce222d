"""Draws plots as SVG for a page whose style sheet sets the colours, each with a title and a description in words."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from components.model_card.document import Plot

_WIDTH, _HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 40
"""Margins of a plot with axes, pixels."""
_LINE_HEIGHT = 24
_LABEL_WIDTH = 160
_TICKS = 5

Interval = tuple[str, float, float, float]
"""A label, a value, and the bounds of its interval."""


class Scale:
    """Maps values to coordinates; `ticks` are round numbers that enclose all values."""

    def __init__(self, low: float, high: float, start: float, end: float, *, whole: bool = False):
        ticks = [float(tick) for tick in MaxNLocator(_TICKS, integer=whole).tick_values(low, high)]
        if high <= 1 < ticks[-1]:
            # The axis of a share ends at 1, and ticks are far enough from it that their figures do not overlap.
            last = 1 - (ticks[1] - ticks[0]) / 2
            ticks = [tick for tick in ticks if tick < last or tick == ticks[0]] + [1.0]
        self.ticks = ticks
        self._low, self._high = self.ticks[0], self.ticks[-1]
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        return self._start + (self._end - self._start) * (value - self._low) / (self._high - self._low)


def curves(name: str, title: str, series: Mapping[str, Sequence[float]], best_epoch: int) -> Plot:
    """Draws one line per series over the epochs, and marks the best epoch.

    Args:
        name: name of the plot, unique on the page.
        title: description of the plot.
        series: values of all epochs by the line's name; at most two lines.
        best_epoch: epoch whose weights were kept, counted from 1.
    """
    epochs = max(len(values) for values in series.values())
    values = [value for line in series.values() for value in line]
    x = Scale(1, max(epochs, 2), LEFT, _WIDTH - RIGHT, whole=True)
    y = Scale(min(values), max(values), _HEIGHT - BOTTOM, TOP)
    body = svg_grid(y, _WIDTH) + _ticks_x(x, _HEIGHT, "epoch")
    body += svg_line("mark", x(best_epoch), TOP, x(best_epoch), _HEIGHT - BOTTOM)
    for index, (label, line) in enumerate(series.items()):
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(line, 1))
        dots = Markup("").join(svg_dot(x(epoch), y(value), f"c{index}") for epoch, value in enumerate(line, 1))
        body += Markup('<polyline class="line c{}" points="{}"/>').format(index, points) + dots
        body += svg_text(LEFT + 8 + 90 * index, _HEIGHT - 4, label, f"legend c{index}")
    words = "; ".join(f"{label}: {', '.join(f'{value:.4f}' for value in line)}" for label, line in series.items())
    return svg_plot(name, title, f"By epoch, epoch {best_epoch} was kept. {words}.", body, _WIDTH, _HEIGHT)


def reliability(name: str, title: str, bins: Sequence[Interval]) -> Plot:
    """Draws accuracy over confidence with intervals; a calibrated model is on the diagonal.

    Args:
        name: name of the plot, unique on the page.
        title: description of the plot.
        bins: mean confidence as a text, accuracy and bounds of each bin.
    """
    size = 300
    x, y = Scale(0, 1, LEFT, size - RIGHT), Scale(0, 1, size - BOTTOM, TOP)
    body = svg_grid(y, size) + _ticks_x(x, size, "mean confidence")
    body += svg_line("mark", x(0), y(0), x(1), y(1))
    for label, value, low, high in bins:
        place = x(float(label))
        body += svg_line("whisker c0", place, y(low), place, y(high)) + svg_dot(place, y(value), "c0")
    words = "; ".join(f"at {label} {value:.3f} ({low:.3f} to {high:.3f})" for label, value, low, high in bins)
    return svg_plot(name, title, f"Accuracy by mean confidence, with 95 % intervals: {words}.", body, size, size)


def intervals(name: str, title: str, rows: Sequence[Interval], reference: float) -> Plot:
    """Draws a dot and an interval per row, and one vertical reference line.

    Args:
        name: name of the plot, unique on the page.
        title: description of the plot.
        rows: intervals from top to bottom.
        reference: value of the reference line.
    """
    width, height = 480, TOP + _LINE_HEIGHT * len(rows) + 30
    bounds = [reference, *(bound for _, _, low, high in rows for bound in (low, high))]
    x = Scale(min(bounds), max(bounds), _LABEL_WIDTH, width - 20)
    body = Markup("")
    for tick in x.ticks:
        body += svg_line("grid", x(tick), TOP, x(tick), height - 28)
        body += svg_text(x(tick), height - 12, format_tick(tick), "tick middle")
    body += svg_line("mark", x(reference), TOP, x(reference), height - 28)
    for index, (label, value, low, high) in enumerate(rows):
        y = TOP + _LINE_HEIGHT * (index + 0.5)
        body += svg_text(_LABEL_WIDTH - 10, y + 4, label, "tick end")
        body += svg_line("whisker c0", x(low), y, x(high), y) + svg_dot(x(value), y, "c0")
    words = "; ".join(f"{label} {value:.4f} ({low:.4f} to {high:.4f})" for label, value, low, high in rows)
    return svg_plot(name, title, f"With 95 % intervals: {words}.", body, width, height)


def svg_plot(name: str, title: str, description: str, body: Markup, width: int, height: int) -> Plot:
    """Returns a picture of the shapes with a title and a description in words."""
    svg = Markup(
        '<svg role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width} {height}" '
        'xmlns="http://www.w3.org/2000/svg">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>{body}</svg>'
    ).format(name=name, title=title, description=description, body=body, width=width, height=height)
    return Plot(svg, title, description, width)


def svg_grid(y: Scale, width: int) -> Markup:
    """Draws horizontal lines with their values."""
    body = Markup("")
    for tick in y.ticks:
        body += svg_line("grid", LEFT, y(tick), width - RIGHT, y(tick))
        body += svg_text(LEFT - 6, y(tick) + 4, format_tick(tick), "tick end")
    return body


def format_tick(value: float) -> str:
    """Formats a value at an axis in at most six characters, for instance 0.925, 950 or 12.5k."""
    return f"{value / 1000:,.4g}k" if abs(value) >= 10_000 else f"{value:.4g}"


def _ticks_x(x: Scale, height: int, title: str) -> Markup:
    body = svg_text(x(x.ticks[-1]), height - 4, title, "tick end")
    for tick in x.ticks:
        body += svg_text(x(tick), height - BOTTOM + 16, f"{tick:.4g}", "tick middle")
    return body


def svg_line(style: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """Draws a straight line with a class of the style sheet."""
    return Markup(f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def svg_dot(x: float, y: float, style: str) -> Markup:
    """Draws a point."""
    return Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(style, x, y)


def svg_text(x: float, y: float, text: str, style: str) -> Markup:
    """Draws a text that begins at a point, unless its style class aligns it otherwise."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, x, y, text)
