import io
from io import StringIO

import pytest
from matplotlib.image import imread
from rich.console import Console

from pipeline.experiments.compare.table import ComparisonRow, cells, draw_comparison, markdown, print_table


@pytest.fixture
def lines(outcome):
    measured = {
        "parameters": 2_758_660,
        "rows_per_second": 1234.5,
        "seconds_per_epoch": 61.25,
        "size": 12_340_000,
        "ece": (0.05, 0.012),
    }
    return [
        ComparisonRow("worse", [outcome(80)]),
        ComparisonRow("best", [outcome(90, **measured), outcome(94, **measured), outcome(92, **measured)]),
        ComparisonRow("middle", [outcome(85, seconds=20.0)]),
    ]


def row(lines, name):
    [found] = [cells_of_one[1:] for cells_of_one in cells(lines) if cells_of_one[0] == name]
    return found


def test_the_most_accurate_candidate_is_first(lines):
    assert [name for name, *_ in cells(lines)] == ["best", "middle", "worse"]


def test_several_seeds_give_a_mean_and_its_standard_deviation(lines):
    assert row(lines, "best")[:2] == ["3", "92.00 ± 2.00"]


def test_one_seed_has_no_deviation(lines):
    assert row(lines, "worse")[:2] == ["1", "80.00"]


def test_interval_and_measurements_are_of_the_median_training(lines):
    # 92 of 100, Wilson, by hand: (0.92 + 1.9208/100 ± 1.96 * sqrt(0.0736/100 + 0.9604/10000)) / (1 + 3.8416/100)
    assert row(lines, "best")[2] == "85.00–95.89"
    assert row(lines, "best")[4:] == ["0.050 → 0.012", "2,758,660", "1,234", "61.2", "2.0", "12.3"]


def test_each_candidate_is_tested_against_the_best(lines):
    # Only the best candidate is correct on seven rows: p = 2 / 2 ** 7.
    assert [cells_of_one[4] for cells_of_one in cells(lines)] == ["best", "0.016 (7:0)", "0.00049 (12:0)"]


def test_missing_measurements_are_empty_cells(lines):
    assert row(lines, "middle")[4:] == ["", "", "", "", "20.0", ""]


def test_markdown_has_a_header_and_a_row_per_candidate(lines):
    head, rule, *body = markdown(lines).splitlines()
    assert head.startswith("| candidate | seeds | accuracy % |")
    assert set(rule) == set("| -")
    assert [line.split(" | ")[0] for line in body] == ["| best", "| middle", "| worse"]
    assert {line.count("|") for line in (head, rule, *body)} == {12}


def test_the_terminal_shows_names_unchanged(outcome):
    output = StringIO()
    print_table(Console(file=output, width=200), [ComparisonRow("lstm, buckets [red]", [outcome()])])
    head, shown = output.getvalue().splitlines()
    assert head.split()[:3] == ["candidate", "seeds", "accuracy"]
    assert shown.startswith("lstm, buckets [red]")


def test_the_plot_is_a_png(lines):
    picture = imread(io.BytesIO(draw_comparison(lines, "png")))[..., :3]
    assert picture.std() > 0.01


def test_the_plot_is_an_svg_with_every_name(lines):
    drawn = draw_comparison(lines, "svg").decode()
    assert "<svg" in drawn
    # Letters are drawn as paths, next to a comment with the text.
    assert all(f"<!-- {line.name} -->" in drawn for line in lines)
