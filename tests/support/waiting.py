"""Waits for what another process or thread does."""

import time


def wait_until(condition, seconds=60, poll_seconds=0.05):
    """Waits until a condition is true, and returns what it returned.

    Raises:
        AssertionError: it was not true in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(poll_seconds)
    return found
