"""Which words mattered, by occlusion: the item is classified without each of its words in turn.

After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), section 4.2, with words in
the place of image regions. It needs a model's answers alone, so that it explains the served model itself.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from schema.news_items import Classification, NewsItem

# Letters and digits, with what joins them: "board's", "1,000", "u.s", "oil-price".
_WORD = re.compile(r"\w+(?:['’.,-]\w+)*")
FIELDS = ("title", "description")


@dataclass(frozen=True)
class Word:
    """A word of an item: `field` is title or description, `start` and `end` are characters of that text."""

    field: str
    start: int
    end: int


def words(item: NewsItem, most: int) -> list[Word]:
    """The first words of title and description, `most` at most."""
    found = (
        Word(field, match.start(), match.end()) for field in FIELDS for match in _WORD.finditer(getattr(item, field))
    )
    return [word for word, _ in zip(found, range(most), strict=False)]


def without(item: NewsItem, word: Word) -> NewsItem:
    """The item with a blank where the word was."""
    text = getattr(item, word.field)
    return replace(item, **{word.field: text[: word.start] + " " + text[word.end :]})


def influences(answer: Classification, occluded: Sequence[Classification]) -> list[float]:
    """By how much each word raised the probability of the answer's class: -1 to 1, below 0 where it spoke against it.

    Args:
        answer: for the whole item.
        occluded: for the item without each of the words.
    """
    return [answer.probability - other.probabilities[answer.label] for other in occluded]


def pieces(text: str, marked: Sequence[tuple[Word, float]]) -> Iterator[tuple[str, float | None]]:
    """The text cut at its words, in order, each piece with its influence; what lies between the words has None."""
    at = 0
    for word, influence in marked:
        yield text[at : word.start], None
        yield text[word.start : word.end], influence
        at = word.end
    yield text[at:], None
