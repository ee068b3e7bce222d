"""`make bench-scale`: measures time and memory of the data stages on each Beam engine for growing numbers of rows."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.growing_rows import growing_rows_options, write_repeated
from pipeline.cli import main
from pipeline.cli.options import settings_options
from pipeline.settings.sources import Loaded

SIZES = (120_000, 1_200_000, 12_000_000)
# Settings of each engine, by section.
ENGINES: dict[str, dict[str, dict[str, Any]]] = {
    "direct": {"beam": {"runner": "direct"}},
    "direct, estimates": {"beam": {"runner": "direct"}, "data": {"exact_statistics": False}},
    "direct, 2 processes": {"beam": {"runner": "direct", "workers": 2}},
    "flink": {"beam": {"runner": "flink"}},
    "flink, estimates": {"beam": {"runner": "flink"}, "data": {"exact_statistics": False}},
    "flink, 2 processes": {"beam": {"runner": "flink", "workers": 2}},
    "spark": {"beam": {"runner": "spark"}},
    "spark, estimates": {"beam": {"runner": "spark"}, "data": {"exact_statistics": False}},
}
_GIB = 2**30
_SAMPLE_SECONDS = 1.0


@dataclass(frozen=True)
class Measurement:
    """The figures of one run.

    Attributes:
        engine: key of `ENGINES`.
        rows: number of training rows.
        stages: seconds of each stage that ended.
        peaks: peak memory of all processes during each stage that began, GiB, sampled each second; shared pages count
            once (PSS).
        seconds: duration of the whole run, including the start of all processes.
        load: mean load of the machine over 5 minutes at the end.
        stopped: reason why the run was stopped, or None.
    """

    engine: str
    rows: int
    stages: dict[str, float]
    peaks: dict[str, float]
    seconds: float
    load: float
    stopped: str | None

    @property
    def peak_gib(self) -> float:
        return max(self.peaks.values(), default=0.0)


@click.command(epilog="Example:  make bench-scale ARGS='--data ~/ag_news --rows 1200000 --engine flink'")
@growing_rows_options(SIZES)
@click.option(
    "--engine",
    "engines",
    type=click.Choice(list(ENGINES)),
    multiple=True,
    help="Engine to measure; may be repeated.  [default: all]",
)
@click.option("--max-gib", type=float, default=16.0, show_default=True, help="Memory in GiB at which a run is stopped.")
@click.option(
    "--max-minutes", type=float, default=120.0, show_default=True, help="Minutes after which a run is stopped."
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="JSON Lines file with earlier results, to which results are appended.",
)
@settings_options
def bench_scale(
    loaded: Loaded,
    sizes: tuple[int, ...],
    engines: tuple[str, ...],
    max_gib: float,
    max_minutes: float,
    directory: Path,
    results: Path | None,
) -> None:
    """Run ExampleGen to Transform on each engine; print and plot seconds and memory against rows.

    If there are not enough rows, they are read again with their words in another order.
    """
    from pipeline.cli.data import resolve_source

    console = Console(width=None if sys.stdout.isatty() else 120)
    source = resolve_source(loaded.settings)
    before = results.read_text(encoding="utf-8").splitlines() if results and results.exists() else []
    found = [Measurement(**json.loads(line)) for line in before]
    for size in sorted(sizes):
        with TemporaryDirectory() as temporary:
            data = Path(temporary) / "data"
            write_repeated(source, size, data)
            for engine in engines or ENGINES:
                measured = measure(engine, size, data, max_gib=max_gib, max_minutes=max_minutes)
                found.append(measured)
                console.print(json.dumps(asdict(measured)), soft_wrap=True)
                if results:
                    with open(results, "a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(measured)) + "\n")
    _print(console, found)
    directory.mkdir(parents=True, exist_ok=True)
    _plot(found, directory / "scale.png")
    console.print(f"plot: {directory}/scale.png")


def measure(engine: str, rows: int, data: Path, *, max_gib: float, max_minutes: float) -> Measurement:
    """Runs the stages in a separate process, and measures it and its children."""
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "data").symlink_to(data)
        arguments = ["-m", "benchmarks.scale_run", temporary, str(rows), json.dumps(ENGINES[engine])]
        began = time.monotonic()
        with open(place / "log", "w", encoding="utf-8") as log:
            process = psutil.Popen([sys.executable, *arguments], stdout=log, stderr=subprocess.STDOUT)
            peaks, stopped = watch(process, lambda: _progress(place)[0], max_gib * _GIB, began + max_minutes * 60)
        seconds = time.monotonic() - began
        if stopped is None and process.returncode != 0:
            lines = (place / "log").read_text(encoding="utf-8", errors="replace").splitlines()
            stopped = f"failed: {lines[-1] if lines else process.returncode}"
        in_gib = {stage: round(peak / _GIB, 2) for stage, peak in peaks.items()}
        load = round(os.getloadavg()[1], 1)
        return Measurement(engine, rows, _progress(place)[1], in_gib, round(seconds, 1), load, stopped)


def _progress(place: Path) -> tuple[str, dict[str, float]]:
    """Returns the running stage and the seconds of the finished ones."""
    try:
        progress = json.loads((place / "progress.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "start", {}
    return progress["stage"], progress["seconds"]


def watch(
    process: psutil.Popen, stage: Callable[[], str], max_bytes: float, deadline: float
) -> tuple[dict[str, int], str | None]:
    """Returns the peak memory of the process tree in bytes per stage, and why it was stopped, if it was."""
    peaks: dict[str, int] = {}
    while process.poll() is None:
        tree = [process, *process.children(recursive=True)]
        memory, running = sum(map(_memory, tree)), stage()
        peaks[running] = max(peaks.get(running, 0), memory)
        limit = "memory" if memory > max_bytes else "time" if time.monotonic() > deadline else None
        if limit:
            for member in tree:
                member.kill()
            process.wait()
            return peaks, f"{limit}, in {running}"
        time.sleep(_SAMPLE_SECONDS)
    return peaks, None


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:  # The process has just ended.
        return 0


def _print(console: Console, found: list[Measurement]) -> None:
    stages = _stages(found)
    table = Table(box=None, pad_edge=False, header_style="dim", title="of each stage: seconds, peak memory in GiB")
    for column in ("rows", "engine", *stages, "whole run, s", "load", ""):
        table.add_column(column, justify="left" if column in ("engine", "") else "right")
    for one in found:
        cells = [
            f"{one.stages[stage]:.0f}, {one.peaks.get(stage, 0.0):.1f}" if stage in one.stages else ""
            for stage in stages
        ]
        ended = f"stopped: {one.stopped}; {one.peak_gib:.1f} GiB" if one.stopped else ""
        table.add_row(f"{one.rows:,}", one.engine, *cells, f"{one.seconds:.0f}", f"{one.load:.0f}", ended)
    console.print(table)


def _stages(found: list[Measurement]) -> list[str]:
    """Returns the stages that take a second or more in any run, in order."""
    slow = {stage for one in found for stage, seconds in one.stages.items() if seconds >= 1.0}
    return [stage for stage in dict.fromkeys(stage for one in found for stage in one.stages) if stage in slow]


def _plot(found: list[Measurement], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    for axes, value, label in zip(
        figure.subplots(1, 2),
        ("seconds", "peak_gib"),
        ("seconds, ExampleGen to Transform", "peak memory, GiB"),
        strict=True,
    ):
        for engine in dict.fromkeys(one.engine for one in found):
            ended = [one for one in found if one.engine == engine and not one.stopped]
            [line] = axes.plot([one.rows for one in ended], [getattr(one, value) for one in ended], "o-", label=engine)
            stopped = [one for one in found if one.engine == engine and one.stopped]
            values = [getattr(one, value) for one in stopped]
            axes.plot([one.rows for one in stopped], values, "X", markersize=9, color=line.get_color())
        sizes = sorted({one.rows for one in found})
        axes.set(xscale="log", xlabel="training rows (× : stopped)", ylabel=label)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(bench_scale, "bench-scale")
