"""Shows the results of `make bench-serve` as tables and plots, and compares them with the targets."""

import collections
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.load import IN_PROCESS, LoadResult, Shape

LOCAL, REAL, BATCHING = "local server", "TensorFlow Serving", ", batching"
SINGLE, BATCH, CROWD = Shape(1, 1), Shape(32, 4), Shape(1, 64)
_PERCENTS = (50, 95, 99)
# Before this number of swaps, the C library's arenas and TensorFlow's thread pools still grow.
_SETTLED_SWAPS = 10
_SHOWN_SWAPS = (1, 10, 20, 50, 100)


class Key(NamedTuple):
    """Identifies a measurement by load, system and transport."""

    shape: Shape
    system: str
    transport: str


@dataclass
class LoadRounds:
    """Results of one load. Figures are medians over the rounds, and errors are added up."""

    outcomes: list[LoadResult] = field(default_factory=list)
    memories: list[float | None] = field(default_factory=list)

    def add(self, outcome: LoadResult, memory: float | None) -> None:
        """Adds a round and the resident memory of the system after it, in MB or None."""
        self.outcomes.append(outcome)
        self.memories.append(memory)

    @property
    def requests_per_second(self) -> float:
        return statistics.median(len(outcome.latencies) / outcome.seconds for outcome in self.outcomes)

    def milliseconds(self, percent: int) -> float:
        """Returns a percentile of the latency in milliseconds, or NaN if all requests failed."""
        return statistics.median(_percentile(outcome.latencies, percent) * 1000 for outcome in self.outcomes)


Results = dict[Key, LoadRounds]


@dataclass
class Swaps:
    """Version swaps under load.

    Attributes:
        system: name of the system.
        memory: resident memory in MB after each swap.
        outcomes: results of the clients.
    """

    system: str
    memory: list[float]
    outcomes: list[LoadResult]

    @property
    def latencies(self) -> list[float]:
        return [latency for outcome in self.outcomes for latency in outcome.latencies]

    @property
    def drift(self) -> float | None:
        """Largest relative change of memory since the tenth swap, or None for fewer swaps."""
        settled = self.memory[_SETTLED_SWAPS - 1 :]
        return max(abs(size / settled[0] - 1) for size in settled) if len(settled) > 1 else None


def print_requests(console: Console, results: Results) -> None:
    """Prints one row per load and system, with the throughput relative to the in-process model."""
    if not results:
        return
    percents = (f"p{percent} ms" for percent in _PERCENTS)
    baselines = [IN_PROCESS] + [REAL] * any(key.system.startswith(REAL) for key in results)
    table = _table(
        "requests",
        "system",
        "over",
        "texts/s",
        *percents,
        "errors",
        "MB",
        *(f"of {baseline}" for baseline in baselines),
    )
    before = None
    for key in sorted(results, key=lambda key: [*dict.fromkeys(key.shape for key in results)].index(key.shape)):
        one = results[key]
        baseline_keys = [Key(key.shape, IN_PROCESS, IN_PROCESS), key._replace(system=key.system.replace(LOCAL, REAL))]
        table.add_row(
            "" if key.shape == before else str(key.shape),
            key.system,
            "" if key.transport == IN_PROCESS else key.transport,
            f"{one.requests_per_second * key.shape.batch:,.0f}",
            *(f"{one.milliseconds(percent):.2f}" for percent in _PERCENTS),
            str(_errors(one.outcomes).total()),
            "-" if one.memories[-1] is None else f"{one.memories[-1]:.0f}",
            *(_ratio(results, key, baseline) for _, baseline in zip(baselines, baseline_keys, strict=False)),
        )
        before = key.shape
    console.print(table)
    _print_errors(console, (outcome for one in results.values() for outcome in one.outcomes))


def print_swaps(console: Console, swaps: list[Swaps]) -> None:
    """Prints one row per system."""
    if not swaps:
        return
    shown = [number for number in _SHOWN_SWAPS if number <= len(swaps[0].memory)]
    after = (f"MB after {number}" for number in shown)
    table = _table("swaps under load", "swaps", "requests", "failed", "p50 ms", "p99 ms", "max ms", *after, "max MB")
    for one in swaps:
        failed = _errors(one.outcomes).total()
        table.add_row(
            one.system,
            str(len(one.memory)),
            f"{len(one.latencies) + failed:,}",
            str(failed),
            *(f"{_percentile(one.latencies, percent) * 1000:.1f}" for percent in (50, 99, 100)),
            *(f"{one.memory[number - 1]:.0f}" for number in shown),
            f"{max(one.memory):.0f}",
        )
    console.print(table)
    _print_errors(console, (outcome for one in swaps for outcome in one.outcomes))


def print_targets(console: Console, results: Results, swaps: list[Swaps]) -> None:
    """Prints the targets and whether each server reached them."""
    table = _table("target", "goal", "system", "measured", "")

    def add(target: str, wanted: str, system: str, reached: str, met: bool) -> None:
        table.add_row(target, wanted, system, reached, "[green]met[/]" if met else "[red]missed[/]")

    for key, one in results.items():
        if key.system == IN_PROCESS:
            continue
        limit = results[Key(key.shape, IN_PROCESS, IN_PROCESS)]
        if key.shape == SINGLE:
            above = one.milliseconds(50) - limit.milliseconds(50)
            name = f"1 text, {key.transport}: p50 over in-process"
            add(name, "< 1.5 ms", key.system, f"{above:.2f} ms", above < 1.5)
        if key.shape == BATCH:
            share = _over(one, limit)
            name = f"32 texts, {key.transport}: texts/s of in-process"
            add(name, "≥ 80 %", key.system, f"{share:.0%}", share >= 0.8)
        if key.shape == CROWD and (batching := results.get(key._replace(system=key.system + BATCHING))):
            times = _over(batching, one)
            name = f"64 clients, {key.transport}: texts/s, batching vs. no batching"
            add(name, "≥ 3", key.system, f"{times:.2f}", times >= 3)
    for swap in swaps:
        failed = _errors(swap.outcomes).total()
        add(f"failed requests in {len(swap.memory)} swaps", "0", swap.system, str(failed), failed == 0)
        if swap.drift is not None:
            name = f"memory after swaps {_SETTLED_SWAPS} to {len(swap.memory)}: change"
            add(name, "≤ 5 %", swap.system, f"{swap.drift:.1%}", swap.drift <= 0.05)
    console.print(table)


def plot(results: Results, swaps: list[Swaps], directory: Path) -> list[Path]:
    """Writes serving_latency.png and serving_memory.png for the available results, and returns their paths."""
    from matplotlib.figure import Figure

    directory.mkdir(parents=True, exist_ok=True)
    written = []

    def write(name: str, figure: Figure) -> None:
        written.append(directory / name)
        figure.savefig(written[-1], dpi=100)

    if results:
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for key, one in results.items():
            if key.shape.batch == 1 and key.shape.rate is not None:
                latencies = sorted(latency * 1000 for outcome in one.outcomes for latency in outcome.latencies)
                slower = [1 - rank / len(latencies) for rank in range(len(latencies))]
                name = key.system if key.transport == IN_PROCESS else f"{key.system}, {key.transport}"
                axes.step(latencies, slower, where="post", label=name)
                axes.set_title(f"{key.shape}, open loop: share of slower responses")
        axes.set(xscale="log", yscale="log", xlabel="milliseconds", ylabel="share")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
        write("serving_latency.png", figure)
    if swaps:
        figure = Figure(figsize=(7, 3), layout="constrained")
        axes = figure.subplots()
        for swap in swaps:
            axes.plot(range(1, len(swap.memory) + 1), swap.memory, label=swap.system)
        axes.set(xlabel="versions swapped under load", ylabel="resident memory, MB")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower right")
        write("serving_memory.png", figure)
    return written


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    text = {"requests", "system", "over", "swaps under load", "target"}
    for column in columns:
        table.add_column(column, justify="left" if column in text else "right")
    return table


def _ratio(results: Results, key: Key, baseline: Key) -> str:
    return f"{_over(results[key], results[baseline]):.2f}" if key != baseline and baseline in results else ""


def _over(one: LoadRounds, baseline: LoadRounds) -> float:
    return one.requests_per_second / baseline.requests_per_second if baseline.requests_per_second else float("nan")


def _percentile(values: list[float], percent: int) -> float:
    """Returns the smallest value that `percent` % of the values do not exceed."""
    if not values:
        return float("nan")
    return sorted(values)[max(-(-len(values) * percent // 100) - 1, 0)]


def _errors(outcomes: Iterable[LoadResult]) -> collections.Counter[str]:
    return sum((collections.Counter(outcome.errors) for outcome in outcomes), collections.Counter())


def _print_errors(console: Console, outcomes: Iterable[LoadResult]) -> None:
    for error, count in _errors(outcomes).most_common(5):
        console.print(f"{count} × {error}", style="red", highlight=False, markup=False)
