"""Holds the metadata store's content in memory: runs, executions, artifacts and the links between them.

ML Metadata answers queries for one run or one artifact at a time and cannot sort by status or accuracy, so a list of
thousands of runs would need thousands of queries. The site therefore reads everything once, and then only changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.graph import by_path, properties
from schema.metadata import FAILURE, FAILURE_LOG, FAILURE_STATUS, PUSHED_MODEL, decode_text

_EVENT = mlmd.Event
_KINDS = {
    _EVENT.INPUT: "read",
    _EVENT.DECLARED_INPUT: "read",
    _EVENT.OUTPUT: "made",
    _EVENT.DECLARED_OUTPUT: "made",
    # Artifacts that a resolver selected.
    _EVENT.INTERNAL_OUTPUT: "found",
}


@dataclass(frozen=True)
class Run:
    """A run of the pipeline.

    Attributes:
        id: id in the store.
        name: name of the run.
        began: UTC, seconds since the epoch.
    """

    id: int
    name: str
    began: float


@dataclass(frozen=True)
class Execution:
    """The execution of a component in a run, or an approval decision.

    Attributes:
        id: id in the store.
        type: class name of the component, without the module.
        state: state in ML Metadata: COMPLETE, CACHED, FAILED, CANCELED, RUNNING or NEW.
        began: UTC, seconds since the epoch.
        changed: time of the last change, in the same unit; the end time of a finished execution.
        run: id of the run; None outside runs.
        error: why it failed; empty if it did not fail or the reason is unknown.
        exit_status: exit status of the command that failed; None if unknown.
        log: where people find the log of the failure; empty if unknown.
    """

    id: int
    type: str
    state: str
    began: float
    changed: float
    run: int | None
    error: str = ""
    exit_status: int | None = None
    log: str = ""


@dataclass(frozen=True)
class Artifact:
    """An artifact.

    Attributes:
        id: id in the store.
        type: type name, for instance Examples or Model.
        uri: URI of its files.
        made: creation time, UTC, seconds since the epoch.
        properties: properties and custom properties by name.
        removed: whether it was marked as deleted: its files are gone, or it does not count any more.
    """

    id: int
    type: str
    uri: str
    made: float
    properties: Mapping[str, Any]
    removed: bool = False

    @property
    def is_pushed(self) -> bool:
        """Whether it is a model that Pusher has pushed; without a blessing, its artifact says that it did not."""
        return self.type == PUSHED_MODEL and self.properties.get("pushed") == 1


@dataclass(frozen=True)
class Link:
    """A link between an execution and an artifact.

    Attributes:
        execution: id of the execution.
        artifact: id of the artifact.
        role: name of the component's input or output.
        kind: "read" (input), "made" (output) or "found" (selected by a resolver).
    """

    execution: int
    artifact: int
    role: str
    kind: str


@dataclass(frozen=True)
class Snapshot:
    """The immutable content of the store at one moment.

    Attributes:
        runs: runs by id.
        executions: executions by id.
        artifacts: artifacts by id, without unfinished ones.
        links: links by execution id.
    """

    runs: Mapping[int, Run] = field(default_factory=dict)
    executions: Mapping[int, Execution] = field(default_factory=dict)
    artifacts: Mapping[int, Artifact] = field(default_factory=dict)
    links: Mapping[int, tuple[Link, ...]] = field(default_factory=dict)

    def inputs(self, execution: int) -> list[Link]:
        """Returns the inputs of an execution, sorted by name."""
        return [link for link in self.links.get(execution, ()) if link.kind == "read"]

    def outputs(self, execution: int) -> list[Link]:
        """Returns the outputs of an execution, including those taken from the cache."""
        return [link for link in self.links.get(execution, ()) if link.kind == "made"]

    def found(self, execution: int) -> list[Link]:
        """Returns the artifacts that a resolver selected."""
        return [link for link in self.links.get(execution, ()) if link.kind == "found"]

    def maker(self, artifact: int) -> Execution | None:
        """Returns the execution that produced an artifact, not one that took it from the cache."""
        made = [link.execution for link in self._links_of_artifacts.get(artifact, ()) if link.kind == "made"]
        return self.executions[min(made)] if made else None

    def readers(self, artifact: int, role: str | None = None) -> list[Link]:
        """Returns links to the executions that read an artifact, in order, without cached executions.

        Args:
            artifact: id of the artifact.
            role: name of the input; without it, all inputs. Components that judge or push a model read it as "model",
                those that compare another one with it as "baseline_model".
        """
        all_links = self._links_of_artifacts.get(artifact, ())
        links = [link for link in all_links if link.kind == "read" and role in (None, link.role)]
        read = [link for link in links if self.executions[link.execution].state != "CACHED"]
        return sorted(read, key=lambda link: link.execution)

    def of_type(self, name: str) -> list[Artifact]:
        """Returns all artifacts of a type, oldest first."""
        return self._by_type.get(name, [])

    def executions_of(self, run: int) -> list[Execution]:
        """Returns the executions of a run in the order of their start."""
        return self._by_run.get(run, [])

    def runs_using(self, artifact: int) -> list[Run]:
        """Returns the runs that produced an artifact, took it from the cache or read it, oldest first."""
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
        """Returns a new snapshot that includes changed content.

        Args:
            runs: contexts of runs.
            executions: changed executions, each with its run's id.
            artifacts: all artifacts of the events.
            events: all events of the executions.
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
                    properties(stored),
                    stored.state == mlmd.Artifact.DELETED,
                )
            else:
                known.pop(stored.id, None)
        links: dict[int, list[Link]] = {execution: [] for execution in read}
        for event in by_path(events):
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
    noted = stored.custom_properties
    return Execution(
        stored.id,
        stored.type.rpartition(".")[2],
        mlmd.Execution.State.Name(stored.last_known_state),
        stored.create_time_since_epoch / 1000,
        stored.last_update_time_since_epoch / 1000,
        run,
        decode_text(noted[FAILURE].string_value) if FAILURE in noted else "",
        noted[FAILURE_STATUS].int_value if FAILURE_STATUS in noted else None,
        decode_text(noted[FAILURE_LOG].string_value) if FAILURE_LOG in noted else "",
    )
