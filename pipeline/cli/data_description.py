"""Counts classes, text lengths and frequent words of data files without TensorFlow, and plots them."""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.bar import Bar
from rich.columns import Columns
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from components.example_gen.readers import read_rows
from components.example_gen.row_format import RowFormat
from components.example_gen.rows import RejectedRow, validate_row
from pipeline.cli.output import can_encode
from schema.data_set import AG_NEWS
from schema.errors import SettingsError
from schema.features import TRAIN
from schema.wording import amount

_WORD = re.compile(r"[^\W\d_]{3,}")
# Common English words, and remains of the corpus' damaged markup.
_COMMON_WORDS = """
the and for that with has have had from are was were will said its his her their after over this not who but they you
all one two new first than more been into out about when what which would could may can she him our your how why where
while before against between under off just also then there here quot amp href com http www fullquote reuters afp ap
"""
_COMMON = frozenset(_COMMON_WORDS.split())
# Columns of the plot of frequent words.
_CLASSES_WITH_WORDS = 4
_TOP_WORDS = 10
_BINS = 40
_TERMINAL_BINS = 14


@dataclass
class SplitDescription:
    """Counts of one split.

    Attributes:
        rows: number of valid rows.
        class_names: class names in the order of the labels.
        bad: number of rejected rows by reason.
        by_class: number of valid rows by class.
        lengths: characters in title and description of each valid row.
        words: for each class, the number of rows that contain a word; common words are excluded.
    """

    class_names: tuple[str, ...] = AG_NEWS.class_names
    rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    by_class: Counter[str] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)
    words: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def describe_files(
    files: Sequence[str],
    *,
    max_chars: int,
    row_format: RowFormat = RowFormat(),  # noqa: B008
) -> SplitDescription:
    """Counts the rows of files.

    Args:
        files: local paths in any format that ExampleGen reads.
        max_chars: maximum number of characters in title and description together.
        row_format: columns and classes of the files.

    Raises:
        DataError: a file is unreadable.
    """
    description = SplitDescription(class_names=row_format.class_names)
    rows = (row for file in files for row in read_rows(file, row_format))
    for row in (validate_row(row, max_chars=max_chars, class_names=row_format.class_names) for row in rows):
        if isinstance(row, RejectedRow):
            description.bad[row.reason] += 1
            continue
        name = row_format.class_names[row.label]
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
        console.print(
            f"{name}: {amount(split.rows, 'row')}, bad: {bad}; characters: median {median}, longest {longest:,}"
        )
        console.print(
            _bars("rows a class", [(label, split.by_class[label]) for label in split.class_names], total=split.rows)
        )
    train = splits[TRAIN]
    console.print(_bars("characters a row (the longest hundredth left out)", _histogram(_clip(train.lengths))))
    words = [
        _bars(f"rows of {name} with the word", train.words[name].most_common(_TOP_WORDS), 18)
        for name in train.class_names
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


def draw_description(splits: dict[str, SplitDescription], form: str, *, title: str) -> bytes:
    """Draws class balance, length histogram and frequent words as one image.

    Args:
        splits: descriptions by split.
        form: format of the image, for instance "png".
        title: title of the image.
    """
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    figure.suptitle(title, fontsize=10)
    names = splits[TRAIN].class_names
    # If there are many classes, only the words of the most frequent ones.
    shown = [name for name, _ in splits[TRAIN].by_class.most_common(_CLASSES_WITH_WORDS)] or list(names)
    shown = [name for name in names if name in shown][:_CLASSES_WITH_WORDS]
    columns = [f"words {index * len(shown) // _CLASSES_WITH_WORDS}" for index in range(_CLASSES_WITH_WORDS)]
    axes: dict[str, Axes] = figure.subplot_mosaic([["balance", "balance", "lengths", "lengths"], columns])
    balance, lengths = axes["balance"], axes["lengths"]
    for index, (name, split) in enumerate(splits.items()):
        offsets = [position + 0.4 * index - 0.2 for position in range(len(names))]
        bars = balance.bar(offsets, [split.by_class[label] for label in names], 0.4, label=f"{name}: {split.rows:,}")
        balance.bar_label(bars, fmt="{:,.0f}", fontsize=8)
        if split.lengths:
            lengths.hist(_clip(split.lengths), _BINS, density=True, alpha=0.5, label=name)
    balance.set_xticks(range(len(names)), names)
    balance.set(title="Rows a class", ylabel="rows")
    lengths.set(title="Text length (the longest hundredth left out)", xlabel="characters", ylabel="density")
    balance.margins(y=0.2)
    balance.legend(loc="upper center", ncols=len(splits))
    if lengths.patches:
        lengths.legend()
    for index, label in enumerate(shown):
        words = splits[TRAIN].words[label].most_common(_TOP_WORDS)[::-1]
        axes[f"words {index}"].barh([word for word, _ in words], [count for _, count in words])
        axes[f"words {index}"].set(title=f"{label}: frequent words", xlabel="train rows")
    image = io.BytesIO()
    figure.savefig(image, format=form, dpi=110)
    return image.getvalue()


def _clip(lengths: list[int]) -> list[int]:
    return sorted(lengths)[: max(1, len(lengths) * 99 // 100)]
