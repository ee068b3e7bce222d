"""The page with the lineage of an artifact: its ancestors or descendants, as a graph and as a table."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.graphs import Node, draw, remove_implied_arrows
from pipeline.metadata.snapshot import Artifact, Execution, Snapshot
from pipeline.review.serving_state import ServingState
from pipeline.review.site import render, site_of
from schema.metadata import EXAMPLES, MODEL, PUSHED_MODEL

_MAX_RUNS = 4
_DIRECTIONS = ("up", "down")
# Baselines are not ancestors; otherwise each model would descend from all earlier models.
_COMPARED = "baseline_model"
# Descendants of data are shown as far as they lead to one of these.
_ENDS = (MODEL, PUSHED_MODEL)


def artifact_page(request: Request) -> Response:
    """`/lineage/ID`: the ancestors (`way=up`, the default) or descendants (`way=down`) of an artifact."""
    site = site_of(request)
    index = site.index()
    snapshot, serving = index.snapshot, site.serving(index)
    artifact = snapshot.artifacts.get(request.path_params["id"])
    if artifact is None:
        raise HTTPException(404, f"artifact {request.path_params['id']} is not in the metadata store")
    way = request.query_params.get("way", "up")
    if way not in _DIRECTIONS:
        raise HTTPException(404, "way must be up or down")
    found = upstream(snapshot, artifact.id) if way == "up" else downstream(snapshot, artifact.id, _MAX_RUNS)
    shown = main_line(found, artifact.id, up=way == "up")
    nodes = [
        *(_artifact_node(name, one, one.id == artifact.id, serving) for name, one in shown.artifacts.items()),
        *(_execution_node(name, one) for name, one in shown.executions.items()),
    ]
    title = f"{'Ancestors' if way == 'up' else 'Descendants'} of {artifact.type} {artifact.id}"
    return render(
        request,
        "lineage.html",
        artifact=artifact,
        maker=snapshot.maker(artifact.id),
        runs=snapshot.runs_using(artifact.id),
        is_model=artifact.id in index.models,
        is_ingested=artifact.type == EXAMPLES and "source" in artifact.properties,
        way=way,
        title=title,
        found=found,
        picture=draw(title, "The table below contains the same.", nodes, remove_implied_arrows(shown.arrows)),
        snapshot=snapshot,
    )


def _artifact_node(name: str, artifact: Artifact, chosen: bool, serving: ServingState) -> Node:
    properties = artifact.properties
    detail, in_production = f"{artifact.id}", False
    if "span" in properties and "source" in properties:
        detail += f", span {properties['span']}"
    if properties.get("pushed") == 0:
        detail += ", not pushed"
    elif version := properties.get("pushed_version"):
        in_production = serving.production is not None and str(serving.production.number) == version
        detail = f"{version}, in production" if in_production else f"{artifact.id}, version {version}"
    style = "chosen" if chosen else "production" if in_production else "artifact"
    return Node(name, artifact.type.removeprefix("AgNews"), detail, style, f"/lineage/{artifact.id}")


def _execution_node(name: str, execution: Execution) -> Node:
    link = f"/runs/{execution.run}#execution-{execution.id}" if execution.run is not None else ""
    return Node(name, execution.type, execution.state.lower(), f"state-{execution.state.lower()}", link)


@dataclass(frozen=True)
class LineageGraph:
    """A part of the store's graph.

    Attributes:
        artifacts: artifacts by node name, "a<id>".
        executions: executions by node name, "e<id>".
        arrows: pairs of node names, from input to execution and from execution to output.
        runs_left_out: number of earlier runs with descendants that are not included.
    """

    artifacts: dict[str, Artifact]
    executions: dict[str, Execution]
    arrows: frozenset[tuple[str, str]]
    runs_left_out: int


def upstream(snapshot: Snapshot, artifact: int) -> LineageGraph:
    """Returns all ancestors of an artifact."""

    def makers(one: int) -> list[int]:
        maker = snapshot.maker(one)
        return [maker.id] if maker else []

    return _lineage(snapshot, artifact, _reachable(artifact, makers, lambda one: _read(snapshot, one)), 0)


def downstream(snapshot: Snapshot, artifact: int, max_runs: int) -> LineageGraph:
    """Returns the descendants of an artifact from the latest runs.

    Prefers runs that trained or pushed a model; if there are none, uses the latest runs of any kind.

    Args:
        snapshot: the store's content.
        artifact: id of the artifact.
        max_runs: maximum number of runs.
    """
    executions = _reachable(
        artifact,
        lambda one: [link.execution for link in snapshot.readers(one) if link.role != _COMPARED],
        lambda one: [link.artifact for link in snapshot.outputs(one)],
    )
    ending = {one for one in executions if _ends(snapshot, one)} or executions
    runs = sorted({run for one in ending if (run := snapshot.executions[one].run) is not None})
    shown = set(runs[-max_runs:])
    kept: set[int] = set()
    # Walks backwards from the last executions to keep every path from the artifact complete.
    needed: set[int] = set()
    for one in sorted(executions, reverse=True):
        made = {link.artifact for link in snapshot.outputs(one)}
        if snapshot.executions[one].run in shown or made & needed:
            kept.add(one)
            needed |= set(_read(snapshot, one))
    return _lineage(snapshot, artifact, kept, len(runs) - len(shown))


def main_line(lineage: LineageGraph, artifact: int, *, up: bool) -> LineageGraph:
    """Returns the part of a lineage that a picture shows.

    Args:
        lineage: the complete lineage.
        artifact: id of the artifact.
        up: if true, keeps the paths to the artifact; if false, keeps the paths to models and pushed versions, or
            everything if there are none.
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
    return LineageGraph(
        {name: one for name, one in lineage.artifacts.items() if name in kept},
        {name: one for name, one in lineage.executions.items() if name in kept},
        frozenset((start, end) for start, end in lineage.arrows if start in kept and end in kept),
        lineage.runs_left_out,
    )


def _reachable(
    artifact: int, executions_of: Callable[[int], Iterable[int]], artifacts_of: Callable[[int], Iterable[int]]
) -> set[int]:
    """Returns the executions on all paths from an artifact."""
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


def _lineage(snapshot: Snapshot, artifact: int, executions: Collection[int], left_out: int) -> LineageGraph:
    """Returns the graph of executions, their outputs, and inputs that other executions of the graph produced."""
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
    return LineageGraph(
        {f"a{number}": one for number, one in sorted(artifacts.items())},
        {f"e{number}": snapshot.executions[number] for number in sorted(executions)},
        frozenset(arrows),
        left_out,
    )
