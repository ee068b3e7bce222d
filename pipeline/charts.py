"""Draws line charts and histograms as SVG for the review site and monitoring reports.

The axes are those of the model card's plots. Colours come from the page's style sheet; every chart has a title and a
description in words.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

from components.model_card.document import Plot
from components.model_card.plots import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Scale,
    format_tick,
    svg_grid,
    svg_line,
    svg_plot,
    svg_text,
)

Series = Mapping[str, Sequence[float | None]]
"""Values of each line by its label; None leaves a gap."""

Period = tuple[float, float | None, str]
"""Begin and end of a period in seconds since the epoch, and its name; an end of None is the end of the axis."""

_WIDTH = 720
_LEGEND_WIDTH = 160
_MAX_LABELS = 6
_MAX_MOMENTS = 4
_MAX_DOTS = 60
_NAME_WIDTH = 80
# Least share of the axis after the begin of a period without an end.
_OPEN_PERIOD = 0.08


def line_chart(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Series,
    description: str,
    *,
    height: int = 240,
    dots: bool = False,
    highlighted: Collection[int] = (),
    moments: Sequence[float] = (),
    intervals: Sequence[tuple[float, float] | None] = (),
    periods: Sequence[Period] = (),
) -> Plot:
    """Draws lines over a sequence of models or windows.

    Args:
        name: id of the chart, unique on the page.
        title: title of the chart.
        labels: labels of the positions on the x-axis.
        series: at most four lines; at least one value is not None.
        description: the content in words, for readers who cannot see the chart.
        height: height in pixels.
        dots: whether to draw a dot at each value, with its label and value as a tooltip.
        highlighted: positions with a coloured band behind the lines.
        moments: time of each position in seconds since the epoch, ascending; the x-axis is then a time axis (UTC).
        intervals: bounds of the first line's value at each position, or None where they are unknown.
        periods: bands on the time axis, in the order of their time; the last one is coloured if it has no end.
    """
    values = [value for line in series.values() for value in line if value is not None]
    values += [bound for interval in intervals if interval for bound in interval]
    y = Scale(min(values), max(values), height - BOTTOM, TOP)
    axis = _XAxis(labels, moments, periods, height)
    x = axis.x
    body = Markup("")
    for position in highlighted:
        body += Markup('<rect class="changed" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
            x(position) - axis.step / 2, TOP, max(axis.step, 2), height - TOP - BOTTOM
        )
    body += axis.bands() + svg_grid(y, _WIDTH) + axis.ticks()
    for position, interval in enumerate(intervals):
        if interval:
            body += svg_line("whisker c0", x(position), y(interval[0]), x(position), y(interval[1]))
    for index, (label, line) in enumerate(series.items()):
        known = [(position, value) for position, value in enumerate(line) if value is not None]
        points = " ".join(f"{x(position):.1f},{y(value):.1f}" for position, value in known)
        body += Markup('<polyline class="line c{}" points="{}"/>').format(index, points)
        if dots and len(known) <= _MAX_DOTS:
            for position, value in known:
                text = f"{labels[position]}: {value:.4g}"
                body += _dot(x(position), y(value), index, text)
        if len(series) > 1:
            start = LEFT + _LEGEND_WIDTH * index
            body += svg_line(f"line c{index}", start, height - 8, start + 28, height - 8)
            body += svg_text(start + 34, height - 4, label, f"legend c{index}")
    return svg_plot(name, title, description, body, _WIDTH, height)


class _XAxis:
    """The axis of positions, or of time if the moments differ; the arguments are those of `line_chart`."""

    _WIDTH = _WIDTH - LEFT - RIGHT

    def __init__(self, labels: Sequence[str], moments: Sequence[float], periods: Sequence[Period], height: int):
        self._labels, self._moments, self._periods, self._height = labels, moments, periods, height
        self.step = self._WIDTH / max(len(labels) - 1, 1)
        # Times that are all the same have no axis.
        self._last = max([*moments, *(begin for begin, _, _ in periods)], default=0.0)
        self._length = self._last - moments[0] if moments else 0.0
        if periods and periods[-1][1] is None:
            self._last += self._length * _OPEN_PERIOD
            self._length *= 1 + _OPEN_PERIOD

    def x(self, position: int) -> float:
        """Returns the coordinate of a position."""
        return self._x_of(self._moments[position]) if self._length else LEFT + self.step * position

    def _x_of(self, moment: float) -> float:
        return LEFT + self._WIDTH * min(max((moment - self._moments[0]) / self._length, 0.0), 1.0)

    def bands(self) -> Markup:
        """Draws the periods, with the names for which there is room."""
        body = Markup("")
        for index, (begin, end, label) in enumerate(self._periods if self._length else ()):
            left, right = self._x_of(begin), self._x_of(self._last if end is None else end)
            style = "changed" if end is None else f"period{index % 2}"
            # Not Markup.format, which takes ten times as long: a chart may have hundreds of periods.
            body += Markup(
                f'<rect class="{style}" x="{left:.1f}" y="{TOP}" width="{max(right - left, 2):.1f}" '
                f'height="{self._height - TOP - BOTTOM}"><title>{escape(label)}</title></rect>'
            )
            if right - left >= _NAME_WIDTH:
                body += svg_text((left + right) / 2, TOP + 12, label, "tick middle")
        return body

    def ticks(self) -> Markup:
        """Draws some of the times or labels below the axis."""
        if self._length:
            shares = [index / (_MAX_MOMENTS - 1) for index in range(_MAX_MOMENTS)]
            moments = [datetime.fromtimestamp(self._moments[0] + share * self._length, UTC) for share in shares]
            marks = [
                (LEFT + share * self._WIDTH, f"{moment:%Y-%m-%d %H:%M}")
                for share, moment in zip(shares, moments, strict=True)
            ]
        else:
            last = len(self._labels) - 1
            positions = sorted({round(index * last / (_MAX_LABELS - 1)) for index in range(_MAX_LABELS)})
            marks = [(self.x(position), self._labels[position]) for position in positions]
        body = Markup("")
        for number, (x, text) in enumerate(marks, start=1):
            anchor = "tick end" if number == len(marks) else "tick" if self._length and number == 1 else "tick middle"
            body += svg_text(x, self._height - BOTTOM + 16, text, anchor)
        return body


def _dot(x: float, y: float, index: int, text: str) -> Markup:
    # Without a link: a picture must not contain controls, and the table next to it has the links.
    return Markup('<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}</title></circle>').format(
        index, x, y, text
    )


def histogram(name: str, title: str, buckets: Sequence[tuple[float, float, float]]) -> Plot:
    """Draws the bars of a histogram.

    Args:
        name: id of the chart, unique on the page.
        title: title of the chart.
        buckets: lower bound, upper bound and count of each bucket.
    """
    width, height = 420, 220
    x = Scale(buckets[0][0], buckets[-1][1], LEFT, width - RIGHT)
    y = Scale(0, max(1.0, *(count for _, _, count in buckets)), height - BOTTOM, TOP)
    words = [f"{low:g} to {high:g}: {count:,.0f}" for low, high, count in buckets]
    body = svg_grid(y, width)
    for (low, high, count), text in zip(buckets, words, strict=True):
        body += Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
        ).format(x(low), y(count), max(1.0, x(high) - x(low) - 1), y(0) - y(count), text)
    for tick in x.ticks:
        body += svg_text(x(tick), height - BOTTOM + 16, format_tick(tick), "tick middle")
    return svg_plot(name, title, f"Rows by value: {'; '.join(words)}.", body, width, height)
