"""Counts classes, text lengths and frequent words of data files, without TensorFlow."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.example_gen.readers import read_rows
from components.example_gen.rows import RejectedRow, validate_row
from schema.features import CLASS_NAMES

_WORD = re.compile(r"[^\W\d_]{3,}")
# Common English words, and remains of the corpus' damaged markup.
_COMMON_WORDS = """
the and for that with has have had from are was were will said its his her their after over this not who but they you
all one two new first than more been into out about when what which would could may can she him our your how why where
while before against between under off just also then there here quot amp href com http www fullquote reuters afp ap
"""
_COMMON = frozenset(_COMMON_WORDS.split())


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
