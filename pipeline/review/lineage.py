"""Where an artifact comes from and what became of it: the part of the store's graph that a picture shows."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pipeline.review.snapshot import Artifact, Execution, Snapshot

# What a model was compared with is no part of it: else each would descend from all before it.
_COMPARED = "baseline_model"
# For the sake of these one asks what became of data.
_ENDS = ("Model", "PushedModel")


@dataclass(frozen=True)
class Lineage:
    """A part of the graph.

    Attributes:
        artifacts: by node's name, "a<id>".
        executions: by node's name, "e<id>".
        arrows: between them, from what was read to who read it and from who made it to what was made.
        runs_left_out: how many earlier runs have a part in it that is not shown.
    """

    artifacts: dict[str, Artifact]
    executions: dict[str, Execution]
    arrows: frozenset[tuple[str, str]]
    runs_left_out: int


def upstream(snapshot: Snapshot, artifact: int) -> Lineage:
    """All that an artifact was made of."""

    def makers(one: int) -> list[int]:
        maker = snapshot.maker(one)
        return [maker.id] if maker else []

    return _lineage(snapshot, artifact, _reached(artifact, makers, lambda one: _read(snapshot, one)), 0)


def downstream(snapshot: Snapshot, artifact: int, most_runs: int) -> Lineage:
    """What was made of an artifact, in the latest runs that trained a model or pushed one, or in the latest of all.

    Args:
        snapshot: the store's content.
        artifact: its id.
        most_runs: how many of them.
    """
    executions = _reached(
        artifact,
        lambda one: [link.execution for link in snapshot.readers(one) if link.role != _COMPARED],
        lambda one: [link.artifact for link in snapshot.outputs(one)],
    )
    ending = {one for one in executions if _ends(snapshot, one)} or executions
    runs = sorted({run for one in ending if (run := snapshot.executions[one].run) is not None})
    shown = set(runs[-most_runs:])
    kept: set[int] = set()
    # From the last ones up, so that the way from the artifact to each is whole.
    needed: set[int] = set()
    for one in sorted(executions, reverse=True):
        made = {link.artifact for link in snapshot.outputs(one)}
        if snapshot.executions[one].run in shown or made & needed:
            kept.add(one)
            needed |= set(_read(snapshot, one))
    return _lineage(snapshot, artifact, kept, len(runs) - len(shown))


def main_line(lineage: Lineage, artifact: int, *, up: bool) -> Lineage:
    """The part that a picture shows.

    Args:
        lineage: all of it.
        artifact: that it is the lineage of.
        up: whether it says what the artifact was made of: then what led to it is shown. Else what led to models and
            pushed versions is, and all where there are none.
    """
    ends = [name for name, one in lineage.artifacts.items() if (one.id == artifact if up else one.type in _ENDS)]
    if not ends:
        return lineage
    before: dict[str, list[str]] = {}
    for start, end in lineage.arrows:
        before.setdefault(end, []).append(start)
    kept, waiting = {f"a{artifact}", *ends}, ends
    while waiting:
        for name in before.get(waiting.pop(), ()):
            if name not in kept:
                kept.add(name)
                waiting.append(name)
    return Lineage(
        {name: one for name, one in lineage.artifacts.items() if name in kept},
        {name: one for name, one in lineage.executions.items() if name in kept},
        frozenset((start, end) for start, end in lineage.arrows if start in kept and end in kept),
        lineage.runs_left_out,
    )


def _reached(
    artifact: int, executions_of: Callable[[int], Iterable[int]], artifacts_of: Callable[[int], Iterable[int]]
) -> set[int]:
    """The executions on all ways from an artifact."""
    seen, executions, waiting = {artifact}, set(), [artifact]
    while waiting:
        for execution in executions_of(waiting.pop()):
            if execution not in executions:
                executions.add(execution)
                new = [one for one in artifacts_of(execution) if one not in seen]
                seen.update(new)
                waiting += new
    return executions


def _ends(snapshot: Snapshot, execution: int) -> bool:
    return any(snapshot.artifacts[link.artifact].type in _ENDS for link in snapshot.outputs(execution))


def _read(snapshot: Snapshot, execution: int) -> list[int]:
    return [link.artifact for link in snapshot.inputs(execution) if link.role != _COMPARED]


def _lineage(snapshot: Snapshot, artifact: int, executions: Collection[int], left_out: int) -> Lineage:
    """The executions with what they made and with those of their inputs that the others made."""
    artifacts = {artifact: snapshot.artifacts[artifact]}
    for one in executions:
        artifacts |= {link.artifact: snapshot.artifacts[link.artifact] for link in snapshot.outputs(one)}
    arrows = {
        arrow
        for one in executions
        for arrow in (
            *((f"e{one}", f"a{link.artifact}") for link in snapshot.outputs(one)),
            *((f"a{read}", f"e{one}") for read in _read(snapshot, one) if read in artifacts),
        )
    }
    return Lineage(
        {f"a{number}": one for number, one in sorted(artifacts.items())},
        {f"e{number}": snapshot.executions[number] for number in sorted(executions)},
        frozenset(arrows),
        left_out,
    )
