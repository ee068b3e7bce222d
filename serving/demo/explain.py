"""Asks the served model about an item and about the item without each of its words."""

from dataclasses import dataclass

from schema.news_items import Classification, NewsItem, validate
from serving.client import AsyncClient
from serving.demo import occlusion

# The model reads no more words of a text than this.
_MOST_WORDS = 256
_STRENGTHS = 4


@dataclass(frozen=True)
class Piece:
    """A stretch of text: `influence` of a word, else None; `strength` from -4 to 4 is its shade."""

    text: str
    influence: float | None
    strength: int


@dataclass(frozen=True)
class Explanation:
    """What the page shows: the answer, each text in pieces, and the words with most influence, strongest first."""

    answer: Classification
    texts: dict[str, list[Piece]]
    strongest: list[Piece]


async def explain(client: AsyncClient, item: NewsItem, *, label: str | None, most_listed: int = 8) -> Explanation:
    """Classifies the item and its occlusions in one call, so by one version.

    Args:
        client: of the server.
        item: without flaw, of fewer than some thousand words.
        label: which version is asked; None: the server's default.
        most_listed: length of `strongest`.

    Raises:
        ClientError: the server did not answer.
    """
    [answer] = await client.classify([item], label=label)
    found = [word for word in occlusion.words(item, _MOST_WORDS) if validate(occlusion.without(item, word)) is None]
    variants = [occlusion.without(item, word) for word in found]
    # By number: between the two calls a label may move, and another version may be loaded.
    occluded = await client.classify(variants, version=answer.model_version)
    marked = list(zip(found, occlusion.influences(answer, occluded), strict=True))
    largest = max((abs(influence) for _, influence in marked), default=0.0)

    def piece(text: str, influence: float | None) -> Piece:
        return Piece(text, influence, round(_STRENGTHS * influence / largest) if influence and largest else 0)

    texts = {
        field: [
            piece(text, influence)
            for text, influence in occlusion.pieces(
                getattr(item, field), [(word, influence) for word, influence in marked if word.field == field]
            )
        ]
        for field in occlusion.FIELDS
    }
    all_words = [part for parts in texts.values() for part in parts if part.influence is not None]
    strongest = sorted(all_words, key=lambda part: -abs(part.influence or 0.0))[:most_listed]
    return Explanation(answer, texts, strongest)
