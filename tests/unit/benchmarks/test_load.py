import threading
import time
from types import SimpleNamespace

import pytest

from benchmarks import load
from benchmarks.load import generate

NEVER = threading.Event()


def test_an_open_loop_counts_a_pause_for_all_who_came_during_it():
    # One client, 100 requests/s, and the first answer takes 0.3 s: the next 29 should have been sent in that time.
    outcome = generate([lambda number: time.sleep(0.3 if number == 0 else 0)], 100, 0.5, NEVER)

    assert len(outcome.latencies) == 50
    assert sum(latency > 0.1 for latency in outcome.latencies) >= 20


def test_a_closed_loop_counts_a_pause_once():
    outcome = generate([lambda number: time.sleep(0.2 if number == 0 else 0.001)], None, 0.4, NEVER)

    assert sum(latency > 0.1 for latency in outcome.latencies) == 1


def test_an_open_loop_sends_each_request_once_whatever_the_number_of_clients():
    sent = []

    generate([sent.append] * 8, 200, 0.25, NEVER)

    assert sorted(sent) == list(range(50))


def test_the_number_of_requests_does_not_depend_on_the_uptime(monkeypatch):
    now = 1_000_000.3
    assert (now + 0.1) - now < 0.1  # What made it eleven.

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(load, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))

    assert len(generate([lambda number: None], 100, 0.1, NEVER).latencies) == 10


def test_failures_are_counted_by_their_reason_and_not_timed():
    def send(number: int) -> None:
        if number % 2:
            raise ValueError("no answer")

    outcome = generate([send], 100, 0.1, NEVER)

    assert outcome.errors == {"ValueError: no answer": 5}
    assert len(outcome.latencies) == 5


@pytest.mark.parametrize("rate", [None, 100])
def test_a_load_without_an_end_is_stopped(rate):
    stop = threading.Event()

    def send(number: int) -> None:
        if number == 5:
            stop.set()

    assert len(generate([send], rate, float("inf"), stop).latencies) == 6
