"""What the metadata store holds, in memory: runs, executions, artifacts, and who made or read what.

ML Metadata answers for one run or one artifact at a time and sorts by nothing that a reader would sort by; a list of
thousands of runs would ask it thousands of times. So all is read once, and then only what changed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

_EVENT = mlmd.Event
_KINDS = {
    _EVENT.INPUT: "read",
    _EVENT.DECLARED_INPUT: "read",
    _EVENT.OUTPUT: "made",
    _EVENT.DECLARED_OUTPUT: "made",
    # What a resolver found among all there is.
    _EVENT.INTERNAL_OUTPUT: "found",
}


@dataclass(frozen=True)
class Run:
    """A run of the pipeline: its id and name in the store, and when it began (UTC, seconds since the epoch)."""

    id: int
    name: str
    began: float


@dataclass(frozen=True)
class Execution:
    """A component's work in a run, or a person's decision.

    Attributes:
        id: in the store.
        type: its class, without the module.
        state: as ML Metadata names it: COMPLETE, CACHED, FAILED, CANCELED, RUNNING or NEW.
        began: UTC, seconds since the epoch.
        changed: the same; of an execution that has ended, when it did.
        run: the run's id; None outside of runs.
    """

    id: int
    type: str
    state: str
    began: float
    changed: float
    run: int | None


@dataclass(frozen=True)
class Artifact:
    """Something that was made.

    Attributes:
        id: in the store.
        type: for instance Examples or Model.
        uri: where its files lie.
        made: UTC, seconds since the epoch.
        properties: what its maker noted.
        removed: whether it was marked as deleted: its files are gone, or it does not count any more.
    """

    id: int
    type: str
    uri: str
    made: float
    properties: Mapping[str, Any]
    removed: bool = False


@dataclass(frozen=True)
class Link:
    """What an execution did with an artifact: `kind` is "read", "made" or "found", `role` what it was to it."""

    execution: int
    artifact: int
    role: str
    kind: str


@dataclass(frozen=True)
class Snapshot:
    """The store's content at one moment. It does not change: a newer one takes its place.

    Attributes:
        runs: by id.
        executions: by id.
        artifacts: by id; what was never finished is left out.
        links: of each execution.
    """

    runs: Mapping[int, Run] = field(default_factory=dict)
    executions: Mapping[int, Execution] = field(default_factory=dict)
    artifacts: Mapping[int, Artifact] = field(default_factory=dict)
    links: Mapping[int, tuple[Link, ...]] = field(default_factory=dict)

    def inputs(self, execution: int) -> list[Link]:
        """What an execution read."""
        return [link for link in self.links.get(execution, ()) if link.kind == "read"]

    def outputs(self, execution: int) -> list[Link]:
        """What an execution made, or took from the cache."""
        return [link for link in self.links.get(execution, ()) if link.kind == "made"]

    def found(self, execution: int) -> list[Link]:
        """What a resolver found."""
        return [link for link in self.links.get(execution, ()) if link.kind == "found"]

    def maker(self, artifact: int) -> Execution | None:
        """The execution that made an artifact; those that took it from the cache did not."""
        made = [link.execution for link in self._links_of_artifacts.get(artifact, ()) if link.kind == "made"]
        return self.executions[min(made)] if made else None

    def readers(self, artifact: int) -> list[Link]:
        """Who read an artifact in order, without those whose outputs were then taken from the cache."""
        links = [link for link in self._links_of_artifacts.get(artifact, ()) if link.kind == "read"]
        read = [link for link in links if self.executions[link.execution].state != "CACHED"]
        return sorted(read, key=lambda link: link.execution)

    def of_type(self, name: str) -> list[Artifact]:
        """All artifacts of a type, oldest first."""
        return self._by_type.get(name, [])

    def executions_of(self, run: int) -> list[Execution]:
        """A run's executions in the order in which they began."""
        return self._by_run.get(run, [])

    def runs_using(self, artifact: int) -> list[Run]:
        """The runs that made an artifact, took it from the cache or read it, oldest first."""
        found = {self.executions[link.execution].run for link in self._links_of_artifacts.get(artifact, ())}
        return [self.runs[run] for run in sorted(run for run in found if run is not None)]

    @cached_property
    def _links_of_artifacts(self) -> Mapping[int, list[Link]]:
        found: defaultdict[int, list[Link]] = defaultdict(list)
        for links in self.links.values():
            for link in links:
                found[link.artifact].append(link)
        return found

    @cached_property
    def _by_type(self) -> Mapping[str, list[Artifact]]:
        found: defaultdict[str, list[Artifact]] = defaultdict(list)
        for artifact in sorted(self.artifacts.values(), key=lambda one: one.id):
            found[artifact.type].append(artifact)
        return found

    @cached_property
    def _by_run(self) -> Mapping[int, list[Execution]]:
        found: defaultdict[int, list[Execution]] = defaultdict(list)
        for execution in sorted(self.executions.values(), key=lambda one: one.id):
            if execution.run is not None:
                found[execution.run].append(execution)
        return found

    def updated(
        self,
        runs: Iterable[mlmd.Context],
        executions: Iterable[tuple[mlmd.Execution, int | None]],
        artifacts: Iterable[mlmd.Artifact],
        events: Iterable[mlmd.Event],
    ) -> "Snapshot":
        """A snapshot with these read anew.

        Args:
            runs: contexts of runs.
            executions: each with its run's id.
            artifacts: all of the events.
            events: all of the executions.
        """
        read = {execution.id: _execution(execution, run) for execution, run in executions}
        known = dict(self.artifacts)
        for stored in artifacts:
            if stored.state in (mlmd.Artifact.LIVE, mlmd.Artifact.DELETED):
                known[stored.id] = Artifact(
                    stored.id,
                    stored.type,
                    stored.uri,
                    stored.create_time_since_epoch / 1000,
                    _properties(stored),
                    stored.state == mlmd.Artifact.DELETED,
                )
            else:
                known.pop(stored.id, None)
        links: dict[int, list[Link]] = {execution: [] for execution in read}
        for event in events:
            if event.artifact_id in known and event.type in _KINDS:
                role = next((step.key for step in event.path.steps if step.key), "")
                link = Link(event.execution_id, event.artifact_id, role, _KINDS[event.type])
                links[event.execution_id].append(link)
        return Snapshot(
            {**self.runs, **{run.id: Run(run.id, run.name, run.create_time_since_epoch / 1000) for run in runs}},
            {**self.executions, **read},
            known,
            {**self.links, **{execution: tuple(found) for execution, found in links.items()}},
        )


def _execution(stored: mlmd.Execution, run: int | None) -> Execution:
    return Execution(
        stored.id,
        stored.type.rpartition(".")[2],
        mlmd.Execution.State.Name(stored.last_known_state),
        stored.create_time_since_epoch / 1000,
        stored.last_update_time_since_epoch / 1000,
        run,
    )


def _properties(stored: mlmd.Artifact) -> dict[str, Any]:
    merged = [*stored.properties.items(), *stored.custom_properties.items()]
    return {name: getattr(value, kind) for name, value in merged if (kind := value.WhichOneof("value"))}
