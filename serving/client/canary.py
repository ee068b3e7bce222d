"""Which of two labels a request goes to."""

import random
from dataclasses import dataclass, field

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True)
class Canary:
    """Sends a share of the requests to the label `canary` and the others to `stable`.

    Not to the latest version: the canary is the latest.

    Attributes:
        share: 0 to 1.
        generator: draws once a request; a seeded one makes the choices repeatable.
    """

    share: float
    generator: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie between 0 and 1, got {self.share}")

    def draw(self) -> str:
        """The label of the next request."""
        return CANARY if self.generator.random() < self.share else STABLE
