"""Tests of the charts of the review site and of monitoring reports."""

import re

from pipeline.charts import histogram, line_chart

DAY = 86_400.0


def test_a_time_axis_places_values_by_their_time():
    moments = [0.0, DAY, 10 * DAY]
    svg = line_chart("a", "A", ["x", "y", "z"], {"value": [1.0, 2.0, 3.0]}, "d", moments=moments).svg
    [points] = re.findall(r'<polyline class="line c0" points="([^"]*)"', svg)
    first, second, last = (float(point.partition(",")[0]) for point in points.split())
    assert abs((second - first) / (last - first) - 0.1) < 0.01
    assert ">1970-01-01 00:00<" in svg
    assert ">1970-01-11 00:00<" in svg


def test_models_of_the_same_time_have_their_names_at_the_axis():
    svg = line_chart("a", "A", ["x", "y"], {"value": [1.0, 2.0]}, "d", moments=[5.0, 5.0]).svg
    assert ">x<" in svg
    assert "1970" not in svg


def test_labels_of_large_values_are_short():
    svg = histogram("a", "A", [(0, 50_000, 14_000), (50_000, 100_000, 120_000)]).svg
    assert "e+0" not in re.sub("<desc.*?</desc>|<title.*?</title>", "", svg)
    assert max(map(len, re.findall(r'tick end"[^>]*>([^<]*)<', svg))) <= 6


def test_intervals_are_drawn_and_fit_on_the_axis():
    svg = line_chart("a", "A", ["x", "y"], {"value": [0.5, 0.6]}, "d", intervals=[(0.1, 0.9), None]).svg
    assert svg.count('class="whisker c0"') == 1
    [low, high] = [
        float(y) for y in re.findall(r'whisker c0" x1="[\d.]+" y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)"', svg)[0]
    ]
    assert 0 < high < low < 240


def test_periods_are_bands_that_end_where_the_next_begins():
    periods = [(2 * DAY, 10 * DAY, "version 1"), (10 * DAY, None, "version 2")]
    svg = line_chart("a", "A", ["x", "y"], {"value": [1.0, 2.0]}, "d", moments=[0.0, 8 * DAY], periods=periods).svg
    bands = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"[^>]*><title>([^<]*)<', svg)
    (first, x, width, name), (last, end, least, last_name) = bands
    assert (first, name, last, last_name) == ("period0", "version 1", "changed", "version 2")
    assert abs(float(x) + float(width) - float(end)) < 0.2
    # The axis reaches beyond the last push, so that the present is visible.
    assert 40 < float(least) < 80
