"""Lines over the windows as SVG to stand within a page: its style sheet gives the colours, a description the words."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

_WIDTH, _HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 44
_LABELS = 6

Series = Mapping[str, Sequence[float | None]]


def lines(name: str, title: str, starts: Sequence[str], series: Series, changed: Sequence[int]) -> Markup:
    """A line a series, and a band where the signal changed.

    Args:
        name: of the plot, unlike any other on the page.
        title: what the plot shows.
        starts: of the windows, ISO 8601.
        series: of each its values by window, None where there is none; four at most.
        changed: numbers of the windows with an alert.
    """
    known = [value for values in series.values() for value in values if value is not None]
    ticks = [float(tick) for tick in MaxNLocator(4).tick_values(min(known), max(known))]
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(starts) - 1, 1)

    def x(window: float) -> float:
        return _LEFT + step * window

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (ticks[-1] - value) / (ticks[-1] - ticks[0])

    body = Markup("")
    for window in changed:
        body += Markup('<rect class="changed" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
            x(window - 0.5), _TOP, max(step, 2), _HEIGHT - _TOP - _BOTTOM
        )
    for tick in ticks:
        body += Markup('<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(
            _LEFT, y(tick), _WIDTH - _RIGHT, y(tick)
        ) + _text(_LEFT - 6, y(tick) + 4, f"{tick:.4g}", "tick end")
    for window in range(0, len(starts), max(1, -(-len(starts) // _LABELS))):
        body += _text(x(window), _HEIGHT - _BOTTOM + 16, starts[window][5:16].replace("T", " "), "tick middle")
    for index, (label, values) in enumerate(series.items()):
        points = [f"{x(window):.1f},{y(value):.1f}" for window, value in enumerate(values) if value is not None]
        body += Markup('<polyline class="line c{}" points="{}"/>').format(index, " ".join(points))
        if len(series) > 1:
            body += _text(_LEFT + 110 * index, _HEIGHT - 6, label, f"legend c{index}")
    return Markup(
        '<svg role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width} {height}" '
        'xmlns="http://www.w3.org/2000/svg"><title id="{name}-title">{title}</title>'
        '<desc id="{name}-desc">{words}</desc>{body}</svg>'
    ).format(name=name, title=title, words=_words(starts, series, changed), body=body, width=_WIDTH, height=_HEIGHT)


def _words(starts: Sequence[str], series: Series, changed: Sequence[int]) -> str:
    parts = []
    for label, values in series.items():
        known = [value for value in values if value is not None]
        if known:
            parts.append(f"{label} between {min(known):.4g} and {max(known):.4g}, {known[-1]:.4g} at the end")
    where = f"changed in {len(changed)} windows from {starts[changed[0]]} on" if changed else "nowhere changed"
    return f"{len(starts)} windows from {starts[0]} to {starts[-1]}: {'; '.join(parts)}; {where}."


def _text(x: float, y: float, text: str, style: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, x, y, text)
