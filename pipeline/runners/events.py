"""Events that a run sends to its watchers, which separate execution from display."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class State(StrEnum):
    """State of a component in one run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ComponentEvent:
    """A state change of a component.

    Attributes:
        component: id of the component.
        state: the new state.
        seconds: seconds since the component started.
    """

    component: str
    state: State
    seconds: float = 0.0


@dataclass(frozen=True)
class ProgressEvent:
    """A progress report of a running component.

    Attributes:
        component: id of the component.
        event: name of the event.
        fields: values of the report by name.
    """

    component: str
    event: str
    fields: dict[str, Any]


class Watcher(Protocol):
    """Receives the events of a run in order, in the thread of the run."""

    def run_began(self, upstream: dict[str, list[str]]) -> None:
        """Receives the upstream components of each component, in execution order."""
        ...

    def component_changed(self, event: ComponentEvent) -> None: ...

    def progressed(self, event: ProgressEvent) -> None: ...
