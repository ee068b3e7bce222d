"""`make bench-stages`: measures and plots the time of each stage for growing numbers of rows."""

import math
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from benchmarks.growing_rows import TEST_FILE, TRAIN_FILES, growing_rows_options, write_repeated
from pipeline.cli import main
from pipeline.cli.options import settings_options
from pipeline.runners.display import PlainDisplay
from pipeline.runners.events import ComponentEvent, State
from pipeline.settings.sources import Loaded

SIZES = (7_500, 15_000, 30_000, 60_000, 120_000)
# Stages that take less than this in every run are not plotted.
_NEGLIGIBLE_SECONDS = 1.0


class StageTimes(PlainDisplay):
    """Displays a run and records the seconds of each stage."""

    def __init__(self, console: Console):
        super().__init__(console)
        self.seconds: dict[str, float] = {}

    def component_changed(self, event: ComponentEvent) -> None:
        super().component_changed(event)
        if event.state is State.DONE:
            self.seconds[event.component] = event.seconds


@click.command(epilog="Example:  make bench-stages ARGS='--data ~/ag_news --set trainer.epochs=1'")
@growing_rows_options(SIZES)
@settings_options
def bench_stages(loaded: Loaded, sizes: tuple[int, ...], directory: Path) -> None:
    """Run the whole pipeline on samples of the training rows; print and plot the seconds of each stage against rows.

    If there are not enough rows, they are read again with their words in another order. Every run uses all test rows.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    times = {size: _run(loaded, size, console) for size in sorted(sizes)}
    _print(console, times)
    directory.mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "svg"):
        _plot(times, directory / f"stages.{suffix}")
    console.print(f"plot: {directory}/stages.png, .svg")


def _run(loaded: Loaded, size: int, console: Console) -> dict[str, float]:
    from pipeline.cli.data import resolve_source
    from pipeline.dag import create_pipeline
    from pipeline.runners import local
    from pipeline.runners.logs import logged_to
    from pipeline.runners.run_id import new_run_id
    from pipeline.settings import Settings

    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        write_repeated(resolve_source(loaded.settings), size, place / "data")
        changed = loaded.settings.model_dump()
        changed["data"] |= {"path": str(place / "data"), "train_pattern": TRAIN_FILES, "test_pattern": TEST_FILE}
        changed["pipeline"] |= {"root": str(place / "runs")}
        changed["pusher"] |= {"destination": str(place / "serving_model")}
        settings = Settings.model_validate(changed)
        run_id = new_run_id()
        root = settings.pipeline.make_root()
        with logged_to(root / "log", verbose=False) as terminal:
            shown = Console(file=terminal, width=console.width)
            shown.print(f"{size:,} rows")
            times = StageTimes(shown)
            local.run(create_pipeline(settings, resolve_source(settings)), run_id, root, times)
    return times.seconds


def _print(console: Console, times: dict[int, dict[str, float]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("seconds of")
    for size in times:
        table.add_column(f"{size:,} rows", justify="right")
    table.add_column("growth, rows^", justify="right")
    for stage in times[max(times)]:
        cells = [found[stage] for found in times.values()]
        table.add_row(stage, *(f"{seconds:.1f}" for seconds in cells), _exponent(times, stage))
    console.print(table)


def _exponent(times: dict[int, dict[str, float]], stage: str) -> str:
    """Returns the exponent of growth between the two largest sizes; 1 is linear."""
    *_, smaller, larger = sorted(times)
    seconds, more = times[smaller][stage], times[larger][stage]
    if more < _NEGLIGIBLE_SECONDS:
        return ""
    return f"{math.log(more / seconds) / math.log(larger / smaller):.2f}"


def _plot(times: dict[int, dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    sizes = list(times)
    for stage in times[max(times)]:
        seconds = [found[stage] for found in times.values()]
        if max(seconds) >= _NEGLIGIBLE_SECONDS:
            axes.plot(sizes, seconds, marker="o", label=stage)
    whole = [sum(found.values()) for found in times.values()]
    axes.plot(sizes, whole, marker="o", color="black", label="whole run")
    linear = [whole[0] * size / sizes[0] for size in sizes]
    axes.plot(sizes, linear, color="grey", linestyle=":", label="linear growth of the whole run")
    axes.set(xscale="log", yscale="log", xlabel="training rows", ylabel="seconds", title="Seconds of each stage")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(bench_stages, "bench-stages")
