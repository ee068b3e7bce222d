import asyncio
import random

import grpc
import pytest

from serving.client import AsyncClient, Canary, Client, Shadow
from tests.support.waiting import wait_until


def ask_synchronously(server, shadow, calls, *, canary=None, **call):
    with Client(server.address, shadow=shadow, canary=canary) as client:
        answers = [client.classify(items, **call) for items in calls]
        wait_until_finished(shadow)
    return answers


def ask_in_an_event_loop(server, shadow, calls, *, canary=None, **call):
    async def ask():
        async with AsyncClient(server.address, shadow=shadow, canary=canary) as client:
            answers = [await client.classify(items, **call) for items in calls]
            await asyncio.gather(*client._shadow_tasks)
        return answers

    return asyncio.run(ask())


def wait_until_finished(shadow):
    wait_until(lambda: shadow._free._value >= 4, 30, 0.01)


@pytest.fixture(params=[ask_synchronously, ask_in_an_event_loop], ids=["sync", "async"])
def ask(request):
    return request.param


def labels(server):
    return [request.model_spec.version_label for request in server.requests]


def test_a_call_is_also_sent_to_the_canary_and_compared(server, ask):
    shadow = Shadow(1.0)
    [answers] = ask(server, shadow, [["oil", "goal"]], label="stable")
    assert [answer.label for answer in answers] == ["Business", "Sports"]
    assert labels(server) == ["stable", "canary"]
    assert server.requests[0].inputs == server.requests[1].inputs
    assert (shadow.compared, shadow.different, shadow.failed) == (2, 0, 0)


def test_differences_are_reported_and_the_answers_thrown_away(server, ask):
    differences = []
    shadow = Shadow(1.0, on_difference=lambda item, answer, other: differences.append((item.title, other.label)))

    def swap(response):
        if response.model_spec.version.value == 2:
            response.outputs["probabilities"].float_val[:] = [0.1, 0.7, 0.1, 0.1]
        return response

    server.change_response = swap
    [answers] = ask(server, shadow, [["oil"]], label="stable")
    assert answers[0].label == "Business"
    assert differences == [("oil", "Sports")]
    assert shadow.different == 1


def test_a_canary_that_fails_is_counted_and_callers_do_not_notice(server, ask, scripted_server):
    server.script = [lambda request, context: None, scripted_server.fails(grpc.StatusCode.INTERNAL)]
    shadow = Shadow(1.0)
    [answers] = ask(server, shadow, [["oil"]])
    assert answers[0].label == "Business"
    assert (shadow.compared, shadow.failed) == (0, 1)


def test_only_a_share_of_the_calls_is_sent(server, ask):
    shadow = Shadow(0.3, generator=random.Random(1))
    ask(server, shadow, [["oil"]] * 40, label="stable")
    assert labels(server).count("stable") == 40
    assert 4 <= shadow.compared + shadow.skipped <= 20


def test_calls_for_the_canary_or_a_version_are_not_sent_again(server, ask):
    shadow = Shadow(1.0)
    ask(server, shadow, [["oil"]], label="canary")
    ask(server, shadow, [["oil"]], version=1)
    assert len(server.requests) == 2


def test_items_that_the_canary_answered_are_not_compared(server, ask):
    shadow = Shadow(1.0)
    ask(server, shadow, [["oil", "goal"]], canary=Canary(1.0))
    ask(server, shadow, [["oil"]])  # The server chooses its newest version, the canary.
    assert (shadow.compared, shadow.failed) == (0, 0)
    ask(server, shadow, [["oil"]], canary=Canary(0.0))
    assert shadow.compared == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Shadow(share)
