"""Where an artifact comes from and what became of it: the part of the store's graph that a picture shows."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.review.snapshot import Artifact, Execution, Snapshot


@dataclass(frozen=True)
class Lineage:
    """A part of the graph.

    Attributes:
        artifacts: by node's name, "a<id>".
        executions: by node's name, "e<id>".
        arrows: between them, from what was read to who read it and from who made it to what was made.
        left_out: how many nodes next to those shown are not.
    """

    artifacts: dict[str, Artifact]
    executions: dict[str, Execution]
    arrows: frozenset[tuple[str, str]]
    left_out: int


def upstream(snapshot: Snapshot, artifact: int, limit: int) -> Lineage:
    """All that an artifact was made of.

    Args:
        snapshot: the store's content.
        artifact: its id.
        limit: nodes shown; those nearest to the artifact come first.
    """

    def makers(one: int) -> list[int]:
        maker = snapshot.maker(one)
        return [maker.id] if maker else []

    def inputs(execution: int) -> list[int]:
        return [link.artifact for link in snapshot.inputs(execution)]

    return _walk(snapshot, artifact, limit, makers, inputs, up=True)


def downstream(snapshot: Snapshot, artifact: int, limit: int) -> Lineage:
    """All that was made of an artifact; the same arguments as `upstream`."""

    def readers(one: int) -> list[int]:
        return [link.execution for link in snapshot.readers(one)]

    def outputs(execution: int) -> list[int]:
        return [link.artifact for link in snapshot.outputs(execution)]

    return _walk(snapshot, artifact, limit, readers, outputs, up=False)


def _walk(
    snapshot: Snapshot,
    artifact: int,
    limit: int,
    executions_of: Callable[[int], list[int]],
    artifacts_of: Callable[[int], list[int]],
    *,
    up: bool,
) -> Lineage:
    """Breadth first, artifacts and executions in turns."""
    artifacts, executions = {f"a{artifact}": snapshot.artifacts[artifact]}, {}
    arrows: set[tuple[str, str]] = set()
    edge, left_out = [artifact], set()
    while edge:
        following = []
        for one in edge:
            for execution in executions_of(one):
                name = f"e{execution}"
                if name not in executions:
                    if len(artifacts) + len(executions) >= limit:
                        left_out.add(name)
                        continue
                    executions[name] = snapshot.executions[execution]
                    for other in artifacts_of(execution):
                        if f"a{other}" not in artifacts:
                            artifacts[f"a{other}"] = snapshot.artifacts[other]
                            following.append(other)
                        arrows.add((f"a{other}", name) if up else (name, f"a{other}"))
                arrows.add((name, f"a{one}") if up else (f"a{one}", name))
        edge = following
    return Lineage(artifacts, executions, frozenset(arrows), len(left_out))
