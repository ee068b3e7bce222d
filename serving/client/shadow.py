"""Sends a share of the calls to the canary as well, and compares the answers."""

import random
import threading
from collections.abc import Callable, Sequence

from schema.news_items import Classification, NewsItem

_MOST_AT_ONCE = 4


class Shadow:
    """Tries a canary without letting callers see its answers.

    After a call has been answered, the same items are sent to the label `canary` in the background. Callers neither
    wait for that nor see its errors. While too many such calls are running, further ones are left out.

    Attributes:
        compared: number of items that both versions classified. Items that the canary itself answered are left out.
        different: number of these with another most likely class.
        failed: number of calls that the canary did not answer.
        skipped: number of calls that were left out.
    """

    def __init__(
        self,
        share: float,
        *,
        generator: random.Random | None = None,
        on_difference: Callable[[NewsItem, Classification, Classification], None] | None = None,
    ):
        """
        Args:
            share: share of the calls to send, 0 to 1.
            generator: random generator, used once per call; a seeded one makes the choices reproducible.
            on_difference: receives each item that is classified differently, with the answer and that of the canary.

        Raises:
            ValueError: the share is not between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must be between 0 and 1, got {share}")
        self._share = share
        self._generator = generator or random.Random()
        self._on_difference = on_difference
        self._free = threading.Semaphore(_MOST_AT_ONCE)
        self._lock = threading.Lock()
        self.compared = self.different = self.failed = self.skipped = 0

    def start(self) -> bool:
        """Decides whether to send a call. The caller then calls `finish` or `fail` once."""
        if self._generator.random() >= self._share:
            return False
        if not self._free.acquire(blocking=False):
            with self._lock:
                self.skipped += 1
            return False
        return True

    def finish(
        self, items: Sequence[NewsItem], answers: Sequence[Classification], others: Sequence[Classification]
    ) -> None:
        """Compares the answers of a call with those of the canary."""
        self._free.release()
        pairs = [
            (item, answer, other)
            for item, answer, other in zip(items, answers, others, strict=True)
            if answer.model_version != other.model_version
        ]
        different = [pair for pair in pairs if pair[1].label != pair[2].label]
        with self._lock:
            self.compared += len(pairs)
            self.different += len(different)
        if self._on_difference:
            for pair in different:
                self._on_difference(*pair)

    def fail(self) -> None:
        """Counts a call that the canary did not answer."""
        self._free.release()
        with self._lock:
            self.failed += 1
