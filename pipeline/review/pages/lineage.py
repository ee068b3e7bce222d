"""Where an artifact comes from, and what became of it."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review.graph import Node, draw
from pipeline.review.lineage import downstream, upstream
from pipeline.review.site import render, site_of
from pipeline.review.snapshot import Artifact, Execution

_MOST_NODES = 60
_WAYS = {"up": upstream, "down": downstream}


def of_artifact(request: Request) -> Response:
    """`/lineage/ID`: what an artifact was made of (`way=up`, the default), or what was made of it (`way=down`)."""
    registry = site_of(request).registry()
    snapshot = registry.snapshot
    artifact = snapshot.artifacts.get(request.path_params["id"])
    if artifact is None:
        raise HTTPException(404, f"there is no artifact {request.path_params['id']} in the metadata store")
    way = request.query_params.get("way", "up")
    if way not in _WAYS:
        raise HTTPException(404, "the way is up or down")
    found = _WAYS[way](snapshot, artifact.id, _MOST_NODES)
    nodes = [
        *(_of_artifact(name, one, one.id == artifact.id) for name, one in found.artifacts.items()),
        *(_of_execution(name, one) for name, one in found.executions.items()),
    ]
    what = f"{artifact.type} {artifact.id}"
    title = f"What {what} was made of" if way == "up" else f"What was made of {what}"
    return render(
        request,
        "lineage.html",
        artifact=artifact,
        maker=snapshot.maker(artifact.id),
        runs=snapshot.runs_using(artifact.id),
        is_model=artifact.id in registry.models,
        is_ingested=artifact.type == "Examples" and "source" in artifact.properties,
        way=way,
        title=title,
        found=found,
        picture=draw(title, "The table below has the same.", nodes, found.arrows),
        snapshot=snapshot,
    )


def _of_artifact(name: str, artifact: Artifact, chosen: bool) -> Node:
    noted = artifact.properties
    detail = f"{artifact.id}"
    if "span" in noted and "source" in noted:
        detail += f", span {noted['span']}"
    if noted.get("pushed_version"):
        detail += f", version {noted['pushed_version']}"
    style = "chosen" if chosen else "artifact"
    return Node(name, artifact.type.removeprefix("AgNews"), detail, style, f"/lineage/{artifact.id}")


def _of_execution(name: str, execution: Execution) -> Node:
    link = f"/runs/{execution.run}#execution-{execution.id}" if execution.run is not None else ""
    return Node(name, execution.type, execution.state.lower(), f"state-{execution.state.lower()}", link)
