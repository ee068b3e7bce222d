"""Sends the same requests to two labels of a served model, alternately and in random order."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from schema.news_items import Classification, NewsItem
from serving.client import CANARY, STABLE, Client, ClientError, UnavailableError

_LABELS = (STABLE, CANARY)
# Requests that set up connections and caches are not part of the comparison.
_UNTIMED_REQUESTS = 5


@dataclass(frozen=True)
class Pair:
    """The answers of both labels for one item, stable first; None where a request failed."""

    item: NewsItem
    true_class: str | None
    answers: dict[str, Classification | None]


@dataclass
class Answers:
    """All answers.

    Attributes:
        pairs: answers in the order of the items.
        seconds: response time of each successful request, by label.
        failures: reason of each failed request, by label.
    """

    pairs: list[Pair] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {label: [] for label in _LABELS})
    failures: dict[str, list[str]] = field(default_factory=lambda: {label: [] for label in _LABELS})


def ask_both(
    client: Client,
    items: Sequence[tuple[NewsItem, str | None]],
    *,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Answers:
    """Sends each item to `stable` and to `canary`, one request at a time.

    The items are sent in random order, and a random label comes first for each, so that neither a busy minute nor a
    cache that the first request filled favours one label.

    Args:
        client: client of the server.
        items: items with their true classes, where known.
        seed: seed of the order.
        advance: called after each item.

    Raises:
        ClientError: a label has no version, or the server cannot be reached, at the beginning or later.
    """
    for label in _LABELS:
        for _ in range(_UNTIMED_REQUESTS):
            client.classify([items[0][0]], label=label)
    draw = random.Random(seed)
    answers = Answers()
    by_place: dict[int, Pair] = {}
    for place in draw.sample(range(len(items)), len(items)):
        item, true_class = items[place]
        asked = {label: _ask(client, item, label, answers.seconds) for label in draw.sample(_LABELS, len(_LABELS))}
        gone = [answer for answer in asked.values() if isinstance(answer, UnavailableError)]
        if len(gone) == len(_LABELS):  # If both labels failed, the server is unreachable.
            raise gone[0]
        found: dict[str, Classification | None] = {}
        for label in _LABELS:
            answer = asked[label]
            if isinstance(answer, ClientError):  # A canary that fails where stable answers is a result.
                answers.failures[label].append(str(answer))
            found[label] = None if isinstance(answer, ClientError) else answer
        by_place[place] = Pair(item, true_class, found)
        advance()
    answers.pairs = [by_place[place] for place in sorted(by_place)]
    return answers


def _ask(client: Client, item: NewsItem, label: str, seconds: dict[str, list[float]]) -> Classification | ClientError:
    began = time.perf_counter()
    try:
        [answer] = client.classify([item], label=label)
    except ClientError as error:
        return error
    seconds[label].append(time.perf_counter() - began)
    return answer
