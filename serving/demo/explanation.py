"""Explains a classification by occlusion: classifies the item again without each of its words.

After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), section 4.2, with words
instead of image regions. The method needs only the model's predictions, so it explains the served model itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schema.news_items import Classification, NewsItem, validate
from serving.client import AsyncClient

Fields = Mapping[str, str]
"""The texts of an item by text column of the model, in order."""
# Letters and digits, and the characters that join them: "board's", "1,000", "u.s", "oil-price".
_WORD = re.compile(r"\w+(?:['’.,-]\w+)*")
# The model reads at most this many words of a text.
_MAX_WORDS = 256
_STRENGTHS = 4


@dataclass(frozen=True)
class Word:
    """The position of a word in an item.

    Attributes:
        field: text column.
        start: index of its first character in that text.
        end: index after its last character.
    """

    field: str
    start: int
    end: int


@dataclass(frozen=True)
class Piece:
    """A word, or the text between two words.

    Attributes:
        text: its characters.
        influence: change in probability that the word causes, or None for text between words.
        strength: shade to display, from -4 to 4. 0 has no shade.
    """

    text: str
    influence: float | None
    strength: int


@dataclass(frozen=True)
class Explanation:
    """A classification and the influence of each word on it.

    Attributes:
        answer: the classification of the whole item.
        texts: pieces of the text of each column, in order.
        strongest: words with the largest influence, strongest first.
    """

    answer: Classification
    texts: dict[str, list[Piece]]
    strongest: list[Piece]


async def explain(client: AsyncClient, fields: Fields, *, label: str | None, max_strongest: int = 8) -> Explanation:
    """Classifies an item and computes the influence of each of its words.

    Args:
        client: client of the model server.
        fields: texts of a valid item with at most a few thousand words.
        label: label of the version to use. None uses the server's default version.
        max_strongest: maximum length of `Explanation.strongest`.

    Raises:
        ClientError: the server did not answer.
    """
    [answer] = await client.classify([to_item(fields)], label=label)
    without = {word: to_item(without_word(fields, word)) for word in find_words(fields, _MAX_WORDS)}
    words = [word for word, variant in without.items() if validate(variant) is None]
    variants = [without[word] for word in words]
    # By version number: between the two calls a label may move, and a new version may be loaded.
    occluded = await client.classify(variants, version=answer.model_version)
    influences = list(zip(words, word_influences(answer, occluded), strict=True))
    largest = max((abs(influence) for _, influence in influences), default=0.0)
    texts: dict[str, list[Piece]] = {}
    for field, text in fields.items():
        of_field = [(word, influence) for word, influence in influences if word.field == field]
        texts[field] = [
            Piece(part, influence, round(_STRENGTHS * influence / largest) if influence and largest else 0)
            for part, influence in split_at_words(text, of_field)
        ]
    pieces = [piece for parts in texts.values() for piece in parts if piece.influence is not None]
    strongest = sorted(pieces, key=lambda piece: -abs(piece.influence or 0.0))[:max_strongest]
    return Explanation(answer, texts, strongest)


def to_item(fields: Fields) -> NewsItem:
    """Joins the texts to an item."""
    return NewsItem.of_texts(list(fields.values()))


def find_words(fields: Fields, limit: int) -> list[Word]:
    """Returns the first `limit` words of the texts, in order."""
    words = (Word(name, match.start(), match.end()) for name, text in fields.items() for match in _WORD.finditer(text))
    return [word for word, _ in zip(words, range(limit), strict=False)]


def without_word(fields: Fields, word: Word) -> Fields:
    """Returns the texts with a space in place of the word."""
    text = fields[word.field]
    return {**fields, word.field: text[: word.start] + " " + text[word.end :]}


def word_influences(answer: Classification, occluded: Sequence[Classification]) -> list[float]:
    """Returns by how much each word raises the probability of the predicted class, from -1 to 1.

    A negative value means that the word lowers the probability.

    Args:
        answer: classification of the whole item.
        occluded: classifications of the item without each of the words.
    """
    return [answer.probability - other.probabilities[answer.label] for other in occluded]


def split_at_words(text: str, influences: Sequence[tuple[Word, float]]) -> Iterator[tuple[str, float | None]]:
    """Yields the words of a text with their influence, and the text between them with None, in order."""
    at = 0
    for word, influence in influences:
        yield text[at : word.start], None
        yield text[word.start : word.end], influence
        at = word.end
    yield text[at:], None
