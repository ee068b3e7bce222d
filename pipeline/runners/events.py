"""What a run tells its watchers: the seam between running and displaying."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class State(StrEnum):
    """States of a component in one run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ComponentEvent:
    """A component changed its state; `seconds` counts from its start."""

    component: str
    state: State
    seconds: float = 0.0


@dataclass(frozen=True)
class ProgressEvent:
    """A running component reports: an event's name and its fields."""

    component: str
    event: str
    fields: dict[str, Any]


class Watcher(Protocol):
    """Receives a run's events, in order, from the thread that runs it."""

    def run_began(self, upstream: dict[str, list[str]]) -> None:
        """`upstream` names, for each component in the order of the run, those whose outputs it waits for."""
        ...

    def component_changed(self, event: ComponentEvent) -> None: ...

    def progressed(self, event: ProgressEvent) -> None: ...
