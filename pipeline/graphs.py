"""Draws a directed acyclic graph as SVG, in layers from top to bottom (Sugiyama, Tagawa and Toda 1981)."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

_WIDTH, _HEIGHT = 214, 46
_MAX_LENGTH = 26
_GAP, _LAYER_GAP = 16, 40
_BEND = 12
_SWEEPS = 8


@dataclass(frozen=True)
class Node:
    """A node, drawn as a box.

    Attributes:
        name: name that arrows refer to.
        title: first line of the box.
        detail: second line of the box.
        style: CSS class of the box.
        link: URL that the box links to; empty for no link.
    """

    name: str
    title: str
    detail: str
    style: str
    link: str


def draw(
    title: str,
    description: str,
    nodes: Sequence[Node],
    arrows: Collection[tuple[str, str]],
    thin: Collection[tuple[str, str]] = (),
) -> Markup:
    """Draws a graph; the boxes appear in the order of the layers, which is also the tab order.

    Args:
        title: title of the picture.
        description: the content in words, for readers who cannot see it.
        nodes: at least one node.
        arrows: pairs of node names (start, end).
        thin: those of the arrows that are thin.
    """
    layers, chains = _layers([node.name for node in nodes], arrows)
    _order(layers, chains)
    places = _places(layers, chains)
    left = min(x - _half_width(name) for name, (x, _) in places.items())
    width = max(x + _half_width(name) for name, (x, _) in places.items()) - left + 4
    height = len(layers) * (_HEIGHT + _LAYER_GAP) - _LAYER_GAP + 4
    body = Markup("").join(_path([places[name] for name in chain], (chain[0], chain[-1]) in thin) for chain in chains)
    of_name = {node.name: node for node in nodes}
    body += Markup("").join(_box(of_name[name], *places[name]) for layer in layers for name in layer if name in of_name)
    return Markup(
        '<svg class="graph" role="group" aria-label="{title}. {description}" width="{width:.0f}" height="{height:.0f}" '
        'viewBox="{left:.0f} -2 {width:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg"><defs><marker id="tip" '
        'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" '
        'd="M0 0L8 4L0 8z"/></marker></defs>{body}</svg>'
    ).format(title=title, description=description, width=width, height=height, left=left - 2, body=body)


def remove_implied_arrows(arrows: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Removes arrows that a longer path implies (transitive reduction)."""
    before: dict[str, set[str]] = {}
    for start, end in arrows:
        before.setdefault(end, set()).add(start)
    all_before: dict[str, frozenset[str]] = {}

    def ancestors(name: str) -> frozenset[str]:
        if name not in all_before:
            above = before.get(name, set())
            all_before[name] = frozenset(above).union(*(ancestors(other) for other in above))
        return all_before[name]

    return frozenset(
        (start, end)
        for start, end in arrows
        if not any(start in ancestors(other) for other in before[end] if other != start)
    )


def _layers(names: Sequence[str], arrows: Collection[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Places each node one layer below its lowest predecessor; long arrows get a bend in each layer between."""
    before: dict[str, list[str]] = {name: [] for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for start, end in sorted(arrows):
        before[end].append(start)
        after[start].append(end)
    depth: dict[str, int] = {}
    waiting = [name for name in names if not before[name]]
    open_arrows = {name: len(before[name]) for name in names}
    while waiting:
        name = waiting.pop(0)
        depth[name] = max((depth[other] + 1 for other in before[name]), default=0)
        for other in after[name]:
            open_arrows[other] -= 1
            if not open_arrows[other]:
                waiting.append(other)
    # Nodes without predecessors move next to their successors.
    for name in names:
        if not before[name] and after[name]:
            depth[name] = min(depth[other] for other in after[name]) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    chains = []
    for start, end in sorted(arrows):
        bends = [f"{start}>{end}>{layer}" for layer in range(depth[start] + 1, depth[end])]
        for layer, bend in enumerate(bends, depth[start] + 1):
            layers[layer].append(bend)
        chains.append([start, *bends, end])
    return layers, chains


def _neighbours(chains: list[list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


def _order(layers: list[list[str]], chains: list[list[str]]) -> None:
    """Reduces crossings: orders each layer by the mean position of the neighbours, alternately down and up."""
    above, below = _neighbours(chains)
    for sweep in range(_SWEEPS):
        neighbours, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        place = {name: index / len(layer) for layer in layers for index, name in enumerate(layer)}
        for layer in order:
            wanted = {
                name: fmean(place[other] for other in neighbours[name]) if name in neighbours else place[name]
                for name in layer
            }
            layer.sort(key=wanted.__getitem__)
            place.update({name: index / len(layer) for index, name in enumerate(layer)})


def _places(layers: list[list[str]], chains: list[list[str]]) -> dict[str, tuple[float, float]]:
    """Returns the centre of each box, near the mean of its neighbours and without overlap."""
    above, below = _neighbours(chains)
    x: dict[str, float] = {}
    for layer in layers:
        _spread(layer, dict.fromkeys(layer, 0.0), x)
    for sweep in range(_SWEEPS):
        neighbours, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            wanted = {
                name: fmean(x[other] for other in neighbours[name]) if name in neighbours else x[name] for name in layer
            }
            _spread(layer, wanted, x)
    return {
        name: (x[name], index * (_HEIGHT + _LAYER_GAP) + _HEIGHT / 2)
        for index, layer in enumerate(layers)
        for name in layer
    }


def _spread(layer: list[str], wanted: dict[str, float], x: dict[str, float]) -> None:
    """Sets positions near the wanted ones without overlap, then shifts the layer by its mean deviation."""
    edge = float("-inf")
    for name in layer:
        x[name] = max(wanted[name], edge + _half_width(name))
        edge = x[name] + _half_width(name) + _GAP
    deviation = fmean(x[name] - wanted[name] for name in layer)
    for name in layer:
        x[name] -= deviation


def _half_width(name: str) -> float:
    return (_BEND if ">" in name else _WIDTH) / 2


def _path(points: list[tuple[float, float]], is_thin: bool) -> Markup:
    (x, y), *rest = points
    y += _HEIGHT / 2
    steps = [f"M{x:.1f} {y:.1f}"]
    for index, (next_x, centre) in enumerate(rest, 1):
        top = centre - _HEIGHT / 2
        middle = (y + top) / 2
        steps.append(f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {top:.1f}")
        x, y = next_x, centre + _HEIGHT / 2
        if index < len(rest):
            steps.append(f"L{x:.1f} {y:.1f}")
    style = "arrow thin" if is_thin else "arrow"
    return Markup('<path class="{}" marker-end="url(#tip)" d="{}"/>').format(style, "".join(steps))


def _box(node: Node, x: float, y: float) -> Markup:
    box = Markup(
        '<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{width}" height="{height}" rx="6"/>'
        '<text x="{x:.1f}" y="{first:.1f}" class="title">{title}</text>'
        '<text x="{x:.1f}" y="{second:.1f}" class="detail">{detail}</text>'
    ).format(
        style=f"box {node.style}",
        left=x - _WIDTH / 2,
        top=y - _HEIGHT / 2,
        width=_WIDTH,
        height=_HEIGHT,
        x=x,
        first=y - 4,
        second=y + 14,
        title=_truncate(node.title),
        detail=_truncate(node.detail),
    )
    return Markup('<a href="{}">{}</a>').format(node.link, box) if node.link else box


def _truncate(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
