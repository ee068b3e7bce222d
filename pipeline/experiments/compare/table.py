"""Shows a comparison as a table, in the terminal and in Markdown, and as a plot."""

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.statistics import mcnemar, wilson_interval
from pipeline.experiments.compare.candidates import Outcome

_COLUMNS = (
    *("candidate", "seeds", "accuracy %", "95 % interval", "p against the best", "ECE", "parameters"),
    *("rows/s", "s an epoch", "training s", "size MB"),
)


@dataclass(frozen=True)
class ComparisonRow:
    """The outcomes of a candidate.

    Attributes:
        name: name of the candidate.
        outcomes: one outcome per seed.
    """

    name: str
    outcomes: Sequence[Outcome]

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the seeds."""
        return statistics.mean(outcome.accuracy for outcome in self.outcomes)

    @property
    def typical(self) -> Outcome:
        """The outcome with the median accuracy, which the paired test uses."""
        return sorted(self.outcomes, key=lambda outcome: outcome.accuracy)[(len(self.outcomes) - 1) // 2]

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the typical outcome's accuracy, 95 %."""
        return wilson_interval(sum(self.typical.correct), len(self.typical.correct))


def cells(lines: Sequence[ComparisonRow]) -> list[list[str]]:
    """Returns the table's cells, the best candidate first."""
    ranked = sorted(lines, key=lambda line: -line.accuracy)
    best = ranked[0]
    return [[line.name, *_cells(line, best)] for line in ranked]


def _cells(line: ComparisonRow, best: ComparisonRow) -> list[str]:
    typical = line.typical
    low, high = line.interval
    accuracies = [100 * outcome.accuracy for outcome in line.outcomes]
    spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    paired = mcnemar(np.array(best.typical.correct), np.array(typical.correct))
    return [
        str(len(line.outcomes)),
        f"{100 * line.accuracy:.2f}{spread}",
        f"{100 * low:.2f}–{100 * high:.2f}",
        "best" if line is best else f"{paired.p_value:.2g} ({paired.only_first}:{paired.only_second})",
        f"{typical.ece[0]:.3f} → {typical.ece[1]:.3f}" if typical.ece else "",
        f"{typical.parameters:,}" if typical.parameters else "",
        f"{typical.rows_per_second:,.0f}" if typical.rows_per_second else "",
        f"{typical.seconds_per_epoch:.1f}" if typical.seconds_per_epoch else "",
        f"{typical.seconds:.1f}",
        f"{typical.size / 1e6:.1f}" if typical.size else "",
    ]


def print_table(console: Console, lines: Sequence[ComparisonRow]) -> None:
    """Prints the table."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if index else "left", no_wrap=index == 0)
    for row in cells(lines):
        table.add_row(*map(escape, row))
    console.print(table)


def markdown(lines: Sequence[ComparisonRow]) -> str:
    """Returns the table in Markdown."""
    rows = [_COLUMNS, ["---"] * len(_COLUMNS), *cells(lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def draw_comparison(lines: Sequence[ComparisonRow], form: str) -> bytes:
    """Draws accuracy with its interval, and accuracy against training time.

    Args:
        lines: the candidates.
        form: format of the image, for instance "png" or "svg".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 0.5 * len(lines) + 2.5), layout="constrained")
    bars, times = figure.subplots(1, 2)
    ranked = sorted(lines, key=lambda line: line.accuracy)
    for position, line in enumerate(ranked):
        low, high = line.interval
        error = [[max(0.0, line.accuracy - low) * 100], [max(0.0, high - line.accuracy) * 100]]
        bars.errorbar(100 * line.accuracy, position, xerr=error, fmt="o", capsize=3)
        seconds = statistics.mean(outcome.seconds for outcome in line.outcomes)
        point = (seconds, 100 * line.accuracy)
        times.plot(*point, "o")
        times.annotate(line.name, point, xytext=(0, 6), textcoords="offset points", fontsize=7, ha="center")
    bars.set_yticks(range(len(ranked)), [line.name for line in ranked])
    bars.set(title="Test accuracy, % (95 % interval of one training)")
    times.set(title="Test accuracy, %, against training time, s", xscale="log")
    times.margins(x=0.2, y=0.1)
    for axes in (bars, times):
        axes.grid(alpha=0.3)
    image = io.BytesIO()
    figure.savefig(image, format=form, dpi=120)
    return image.getvalue()
