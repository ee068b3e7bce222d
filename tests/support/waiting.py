"""Waits for what another process or thread does."""

import time


def wait_until(condition, seconds=60, poll_seconds=0.05, message=lambda: "the condition did not become true"):
    """Waits until a condition is true, and returns what it returned.

    Args:
        condition: function that is called again and again.
        seconds: time limit.
        poll_seconds: pause between two calls.
        message: function that returns the text of the error.

    Raises:
        AssertionError: it was not true in time.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, message()
        time.sleep(poll_seconds)
    return found
