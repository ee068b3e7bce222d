"""Tests of drawing graphs."""

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.graphs import Node, draw, remove_implied_arrows

BOX = "{http://www.w3.org/2000/svg}rect"
ANCHOR = "{http://www.w3.org/2000/svg}a"


def nodes(names):
    return [Node(name, f"title {name}", "detail", "artifact", f"/lineage/{name}") for name in names]


def boxes(svg):
    return {
        anchor.get("href").rpartition("/")[2]: tuple(float(anchor.find(BOX).get(key)) for key in ("x", "y", "width"))
        for anchor in ElementTree.fromstring(svg).iter(ANCHOR)
    }


@st.composite
def graphs(draw_value):
    names = [str(number) for number in range(draw_value(st.integers(1, 12)))]
    pairs = [(first, second) for first in names for second in names if int(first) < int(second)]
    return names, draw_value(st.sets(st.sampled_from(pairs), max_size=25)) if pairs else set()


@settings(deadline=None)
@given(graphs())
def test_boxes_do_not_overlap_and_arrows_point_down(graph):
    names, arrows = graph
    found = boxes(draw("title", "description", nodes(names), arrows))
    assert found.keys() == set(names)
    for start, end in arrows:
        assert found[start][1] < found[end][1]
    for first in names:
        for second in names:
            if first < second and found[first][1] == found[second][1]:
                assert abs(found[first][0] - found[second][0]) >= found[first][2]


@settings(deadline=None)
@given(graphs())
def test_removing_implied_arrows_keeps_all_paths(graph):
    names, arrows = graph
    kept = remove_implied_arrows(arrows)
    assert kept <= arrows
    assert paths(names, kept) == paths(names, arrows)


def paths(names, arrows):
    found = set()
    for start in names:
        waiting, seen = [start], set()
        while waiting:
            at = waiting.pop()
            following = {end for begin, end in arrows if begin == at} - seen
            seen |= following
            waiting += following
        found |= {(start, end) for end in seen}
    return found


def test_texts_are_escaped():
    svg = draw("<b>", 'a "quote"', [Node("1", "<script>", "&", "artifact", "/x?a=1&b=2")], [])
    root = ElementTree.fromstring(svg)
    assert 'a "quote"' in root.get("aria-label")
    assert not re.search("<script", svg)
    assert next(root.iter(ANCHOR)).get("href") == "/x?a=1&b=2"
