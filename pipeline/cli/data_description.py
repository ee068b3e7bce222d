"""Counts classes, text lengths and frequent words of data files without TensorFlow, and plots them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.bar import Bar
from rich.columns import Columns
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from components.example_gen.readers import read_rows
from components.example_gen.rows import RejectedRow, validate_row
from pipeline.cli.output import can_encode
from schema.errors import SettingsError
from schema.features import CLASS_NAMES, TRAIN

_WORD = re.compile(r"[^\W\d_]{3,}")
# Common English words, and remains of the corpus' damaged markup.
_COMMON_WORDS = """
the and for that with has have had from are was were will said its his her their after over this not who but they you
all one two new first than more been into out about when what which would could may can she him our your how why where
while before against between under off just also then there here quot amp href com http www fullquote reuters afp ap
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_TOP_WORDS = 10
_BINS = 40
_TERMINAL_BINS = 14


@dataclass
class SplitDescription:
    """Counts of one split.

    Attributes:
        rows: number of valid rows.
        bad: number of rejected rows by reason.
        by_class: number of valid rows by class.
        lengths: characters in title and description of each valid row.
        words: for each class, the number of rows that contain a word; common words are excluded.
    """

    rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    by_class: Counter[str] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)
    words: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in CLASS_NAMES})


def describe_files(files: Sequence[str], *, max_chars: int) -> SplitDescription:
    """Counts the rows of files.

    Args:
        files: local paths in any format that ExampleGen reads.
        max_chars: maximum number of characters in title and description together.

    Raises:
        DataError: a file is unreadable.
    """
    description = SplitDescription()
    for row in (validate_row(row, max_chars=max_chars) for file in files for row in read_rows(file)):
        if isinstance(row, RejectedRow):
            description.bad[row.reason] += 1
            continue
        name = CLASS_NAMES[row.label]
        description.rows += 1
        description.by_class[name] += 1
        description.lengths.append(row.text_length)
        words = set(_WORD.findall(f"{row.title} {row.description}".lower()))
        description.words[name].update(words - _COMMON)
    return description


def print_description(console: Console, splits: dict[str, SplitDescription]) -> None:
    """Prints counts, class balance, length histogram and frequent words."""
    for name, split in splits.items():
        bad = ", ".join(f"{reason} {count}" for reason, count in split.bad.items()) or "none"
        lengths = sorted(split.lengths) or [0]
        median, longest = lengths[len(lengths) // 2], lengths[-1]
        console.print(f"{name}: {split.rows:,} rows, bad: {bad}; characters: median {median}, longest {longest:,}")
        console.print(
            _bars("rows a class", [(label, split.by_class[label]) for label in CLASS_NAMES], total=split.rows)
        )
    train = splits[TRAIN]
    console.print(_bars("characters a row (the longest hundredth left out)", _histogram(_clip(train.lengths))))
    words = [
        _bars(f"rows of {name} with the word", train.words[name].most_common(_TOP_WORDS), 18) for name in CLASS_NAMES
    ]
    console.print(Columns(words, padding=(0, 4)))


def _bars(title: str, counts: Sequence[tuple[str, int]], width: int = 48, total: int = 0) -> Group:
    table = Table(show_header=False, box=None, pad_edge=False)
    highest = max((count for _, count in counts), default=0) or 1
    for name, count in counts:
        share = [f"{count / total:.1%}"] if total else []
        table.add_row(name, _bar(count / highest, width), f"{count:,}", *share)
    return Group(Text(title, style="bold"), table)


def _bar(share: float, width: int) -> Bar | Text:
    if can_encode("█▉▊▋▌▍▎▏▐▕"):
        return Bar(1, 0, share, width=width, color="cyan")
    return Text("#" * round(share * width), style="cyan")


def _histogram(lengths: Sequence[int]) -> list[tuple[str, int]]:
    width = max(1, -(-max(lengths, default=0) // _TERMINAL_BINS))
    counts = [0] * _TERMINAL_BINS
    for length in lengths:
        counts[min(length // width, _TERMINAL_BINS - 1)] += 1
    return [(f"{index * width}–{(index + 1) * width - 1}", count) for index, count in enumerate(counts)]


def check_format(option: str, path: Path) -> None:
    """Checks that the name of an image file ends in a format that can be written.

    Raises:
        SettingsError: the format is unknown.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in formats:
        raise SettingsError(f"{option} {path}: the name must end in .png, or in one of {', '.join(sorted(formats))}")


def write_png(splits: dict[str, SplitDescription], path: Path, *, title: str) -> None:
    """Writes class balance, length histogram and frequent words as one image.

    Args:
        splits: descriptions by split.
        path: the image file; its suffix selects the format.
        title: title of the image.
    """
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes: dict[str, Axes] = figure.subplot_mosaic([["balance", "balance", "lengths", "lengths"], list(CLASS_NAMES)])
    balance, lengths = axes["balance"], axes["lengths"]
    for index, (name, split) in enumerate(splits.items()):
        offsets = [position + 0.4 * index - 0.2 for position in range(len(CLASS_NAMES))]
        bars = balance.bar(
            offsets, [split.by_class[label] for label in CLASS_NAMES], 0.4, label=f"{name}: {split.rows:,}"
        )
        balance.bar_label(bars, fmt="{:,.0f}", fontsize=8)
        if split.lengths:
            lengths.hist(_clip(split.lengths), _BINS, density=True, alpha=0.5, label=name)
    balance.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES)
    balance.set(title="Rows a class", ylabel="rows")
    lengths.set(title="Text length (the longest hundredth left out)", xlabel="characters", ylabel="density")
    balance.margins(y=0.2)
    balance.legend(loc="upper center", ncols=len(splits))
    if lengths.patches:
        lengths.legend()
    for label in CLASS_NAMES:
        words = splits[TRAIN].words[label].most_common(_TOP_WORDS)[::-1]
        axes[label].barh([word for word, _ in words], [count for _, count in words])
        axes[label].set(title=f"{label}: frequent words", xlabel="train rows")
    figure.savefig(path, dpi=110)


def _clip(lengths: list[int]) -> list[int]:
    return sorted(lengths)[: max(1, len(lengths) * 99 // 100)]
