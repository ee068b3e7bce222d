"""The page with the lineage of an artifact, as a graph and as a table."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review.graph import Node, draw, remove_implied_arrows
from pipeline.review.lineage import downstream, main_line, upstream
from pipeline.review.serving_state import ServingState
from pipeline.review.site import render, site_of
from pipeline.review.snapshot import Artifact, Execution

_MAX_RUNS = 4
_DIRECTIONS = ("up", "down")


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
        is_ingested=artifact.type == "Examples" and "source" in artifact.properties,
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
