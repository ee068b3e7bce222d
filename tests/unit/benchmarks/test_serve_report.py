import io

import pytest
from rich.console import Console

from benchmarks.load import GRPC, IN_PROCESS, LoadResult
from benchmarks.serve_report import (
    BATCHING,
    CROWD,
    LOCAL,
    SINGLE,
    Key,
    LoadRounds,
    Swaps,
    print_requests,
    print_targets,
)


def measured(*latencies, seconds=1.0, errors=None):
    return LoadRounds([LoadResult(seconds, list(latencies), errors or {})], [100.0])


def printed(show, *arguments):
    console = Console(record=True, width=200, file=io.StringIO())
    show(console, *arguments)
    return console.export_text()


def test_percentiles_are_latencies_that_were_measured():
    one = measured(*(number / 1000 for number in range(1, 101)))

    assert [one.milliseconds(percent) for percent in (50, 95, 99)] == pytest.approx([50, 95, 99])


def test_figures_are_medians_of_the_rounds():
    one = LoadRounds()
    for latency in (0.001, 0.002, 0.9):
        one.add(LoadResult(1.0, [latency], {}), 100.0)

    assert one.milliseconds(50) == pytest.approx(2)


def test_memory_drifts_from_what_it_is_after_the_tenth_swap():
    growing_first = [100.0 * number for number in range(1, 10)] + [1000.0, 1040.0, 980.0]

    assert Swaps(LOCAL, growing_first, []).drift == pytest.approx(0.04)
    assert Swaps(LOCAL, [100.0] * 10, []).drift is None


def test_a_target_is_met_or_missed_by_each_server():
    results = {
        Key(SINGLE, IN_PROCESS, IN_PROCESS): measured(0.001),
        Key(SINGLE, LOCAL, GRPC): measured(0.002),
        Key(SINGLE, LOCAL + BATCHING, GRPC): measured(0.003),
        Key(CROWD, IN_PROCESS, IN_PROCESS): measured(0.001),
        Key(CROWD, LOCAL, GRPC): measured(0.001),
        Key(CROWD, LOCAL + BATCHING, GRPC): measured(*[0.001] * 4),
    }

    lines = [line for line in printed(print_targets, results, []).splitlines() if "met" in line or "missed" in line]

    assert [line.split()[-1] for line in lines] == ["met", "missed", "met"]
    assert "1.00 ms" in lines[0]
    assert "4.00" in lines[2]


def test_a_server_that_answers_nothing_is_shown_with_its_errors():
    results = {
        Key(SINGLE, IN_PROCESS, IN_PROCESS): measured(0.001),
        Key(SINGLE, LOCAL, GRPC): measured(errors={"UNAVAILABLE: full": 7}),
    }

    assert "7 × UNAVAILABLE: full" in printed(print_requests, results)
    assert "missed" in printed(print_targets, results, [])
