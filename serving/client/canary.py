"""Chooses the label that a request is sent to."""

import random
from dataclasses import dataclass, field

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True)
class Canary:
    """Sends a share of the requests to the label `canary` and the others to `stable`.

    The others do not go to the latest version, because the canary is the latest.

    Attributes:
        share: share of requests for the canary, 0 to 1.
        generator: random generator, used once per request; a seeded one makes the choices reproducible.
    """

    share: float
    generator: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be between 0 and 1, got {self.share}")

    def draw(self) -> str:
        """Returns the label of the next request."""
        return CANARY if self.generator.random() < self.share else STABLE
