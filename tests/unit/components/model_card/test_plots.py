import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model_card import plots

SVG = "{http://www.w3.org/2000/svg}"
shares = st.floats(0, 1)


def drawn(plot):
    """Parses a plot after checking that it is well-formed XML with every mark inside its frame."""
    root = ElementTree.fromstring(plot.svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.attrib.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.attrib.get(name, 0)) <= height
    return root


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=12), st.data())
def test_curves_of_any_values_and_length_stay_in_their_frame(values, data):
    train, val = zip(*values, strict=True)
    best = data.draw(st.integers(1, len(values)))
    root = drawn(plots.curves("c", "Loss", {"train": train, "val": val}, best))
    assert len(root.findall(f"{SVG}circle")) == 2 * len(values)


@given(st.lists(st.tuples(shares, shares, shares), min_size=1, max_size=9), st.floats(-1, 1))
def test_intervals_of_any_values_stay_in_their_frame(values, reference):
    rows = [(f"row {index}", middle, low, high) for index, (low, middle, high) in enumerate(map(sorted, values))]
    root = drawn(plots.intervals("i", "Change", rows, reference))
    assert len(root.findall(f"{SVG}circle")) == len(rows)


def test_a_calibrated_bin_is_on_the_diagonal():
    root = drawn(plots.reliability("r", "Reliability", [("0.5000", 0.5, 0.4, 0.6)]))
    [dot] = root.findall(f"{SVG}circle")
    [diagonal] = [line for line in root.findall(f"{SVG}line") if line.attrib["class"] == "mark"]
    middle = [(float(diagonal.attrib[f"{axis}1"]) + float(diagonal.attrib[f"{axis}2"])) / 2 for axis in "xy"]
    assert [float(dot.attrib["cx"]), float(dot.attrib["cy"])] == pytest.approx(middle, abs=0.1)


def test_the_words_of_a_plot_hold_its_numbers():
    plot = plots.intervals("i", "Change", [("typos", -0.0212, -0.03, -0.01)], 0.0)
    described = ElementTree.fromstring(plot.svg).find(f"{SVG}desc").text
    assert described == plot.description
    assert re.search(r"typos -0\.0212 \(-0\.0300 to -0\.0100\)", described)


def test_markup_in_a_label_is_text():
    root = drawn(plots.intervals("i", "A & B", [("<b>", 0.5, 0.4, 0.6)], 0.5))
    assert "<b>" in [text.text for text in root.findall(f"{SVG}text")]


def test_an_axis_of_shares_ends_at_one():
    root = drawn(plots.intervals("i", "Accuracy", [("Sports", 0.97, 0.955, 0.995)], 0.92))
    ticks = [float(text.text) for text in root.iter() if text.get("class") == "tick middle"]
    assert max(ticks) == 1.0


def test_the_last_ticks_of_a_shares_axis_do_not_touch():
    ticks = plots.Scale(0.8688, 1.0, 0, 100).ticks
    steps = [second - first for first, second in itertools.pairwise(ticks)]
    assert ticks[-1] == 1.0
    assert steps[-1] >= steps[0] / 2
    assert len(plots.Scale(0.998, 1.0, 0, 100).ticks) > 1
