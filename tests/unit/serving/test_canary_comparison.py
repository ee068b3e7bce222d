import pytest

from schema.news_items import Classification, NewsItem
from serving.client import ModelNotFoundError, RefusedError, UnavailableError
from serving.client.canary_comparison import ask_both

ITEMS = [(NewsItem(f"item {number}"), "World") for number in range(40)]


class Client:
    """Answers World, except Sports by the canary for item 7; records the requests."""

    def __init__(self, fails=lambda item, label: None):
        self.asked = []
        self.fails = fails

    def classify(self, items, *, label):
        [item] = items
        self.asked.append((item.title, label))
        if error := self.fails(item, label):
            raise error
        answer = "Sports" if (item.title, label) == ("item 7", "canary") else "World"
        return [Classification(answer, 0.5, {"World": 0.5, "Sports": 0.5}, {"stable": 1, "canary": 2}[label])]


def test_each_item_goes_to_both_labels_and_answers_keep_the_order():
    client = Client()
    answers = ask_both(client, ITEMS, seed=1)
    assert sorted(client.asked[10:]) == sorted(
        (item.title, label) for item, _ in ITEMS for label in ("stable", "canary")
    )
    assert [pair.item for pair in answers.pairs] == [item for item, _ in ITEMS]
    changed = [
        pair.item.title for pair in answers.pairs if pair.answers["canary"].label != pair.answers["stable"].label
    ]
    assert changed == ["item 7"]
    assert {tuple(pair.answers) for pair in answers.pairs} == {("stable", "canary")}


def test_the_order_is_random_of_items_and_of_labels_and_the_same_for_a_seed():
    clients = [Client() for _ in range(3)]
    for client, seed in zip(clients, (1, 1, 2), strict=True):
        ask_both(client, ITEMS, seed=seed)
    timed = clients[0].asked[10:]
    assert timed == clients[1].asked[10:] != clients[2].asked[10:]
    assert [title for title, _ in timed[::2]] != [item.title for item, _ in ITEMS]
    assert {label for _, label in timed[::2]} == {"stable", "canary"}


def test_only_answered_requests_are_timed():
    answers = ask_both(Client(), ITEMS, seed=1)
    assert [len(answers.seconds[label]) for label in ("stable", "canary")] == [40, 40]
    assert all(seconds >= 0 for seconds in answers.seconds["canary"])


def test_a_failing_canary_is_reported_and_the_others_are_still_asked():
    client = Client(lambda item, label: RefusedError("no") if (item.title, label) == ("item 3", "canary") else None)
    answers = ask_both(client, ITEMS, seed=1)
    assert answers.failures == {"stable": [], "canary": ["no"]}
    assert answers.pairs[3].answers["canary"] is None
    assert len(answers.seconds["canary"]) == 39


def test_a_label_without_a_version_ends_it_at_once():
    client = Client(lambda item, label: ModelNotFoundError("no canary") if label == "canary" else None)
    with pytest.raises(ModelNotFoundError):
        ask_both(client, ITEMS, seed=1)
    assert len(client.asked) < 10


def test_progress_is_reported_item_by_item():
    steps = []
    ask_both(Client(), ITEMS, seed=1, advance=lambda: steps.append(1))
    assert len(steps) == len(ITEMS)


def test_a_server_that_goes_away_is_not_counted_against_a_label():
    gone = UnavailableError("no answer from localhost:8500")
    client = Client(lambda item, label: gone if len(client.asked) > 30 else None)
    with pytest.raises(UnavailableError):
        ask_both(client, ITEMS, seed=1)


def test_a_label_that_is_unavailable_while_the_other_answers_has_failed():
    busy = UnavailableError("the queue is full")
    client = Client(lambda item, label: busy if (item.title, label) == ("item 3", "canary") else None)
    assert ask_both(client, ITEMS, seed=1).failures == {"stable": [], "canary": ["the queue is full"]}
