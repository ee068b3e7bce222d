"""Where an artifact comes from, and what became of it."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review.graph import Node, draw, remove_implied_arrows
from pipeline.review.lineage import downstream, main_line, upstream
from pipeline.review.serving_state import ServingState
from pipeline.review.site import render, site_of
from pipeline.review.snapshot import Artifact, Execution

_MOST_RUNS = 4
_WAYS = ("up", "down")


def artifact_page(request: Request) -> Response:
    """`/lineage/ID`: what an artifact was made of (`way=up`, the default), or what was made of it (`way=down`)."""
    site = site_of(request)
    index = site.index()
    snapshot, serving = index.snapshot, site.serving(index)
    artifact = snapshot.artifacts.get(request.path_params["id"])
    if artifact is None:
        raise HTTPException(404, f"there is no artifact {request.path_params['id']} in the metadata store")
    way = request.query_params.get("way", "up")
    if way not in _WAYS:
        raise HTTPException(404, "the way is up or down")
    found = upstream(snapshot, artifact.id) if way == "up" else downstream(snapshot, artifact.id, _MOST_RUNS)
    shown = main_line(found, artifact.id, up=way == "up")
    nodes = [
        *(_of_artifact(name, one, one.id == artifact.id, serving) for name, one in shown.artifacts.items()),
        *(_of_execution(name, one) for name, one in shown.executions.items()),
    ]
    what = f"{artifact.type} {artifact.id}"
    title = f"What {what} was made of" if way == "up" else f"What was made of {what}"
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
        picture=draw(title, "The table below has the same.", nodes, remove_implied_arrows(shown.arrows)),
        snapshot=snapshot,
    )


def _of_artifact(name: str, artifact: Artifact, chosen: bool, serving: ServingState) -> Node:
    noted = artifact.properties
    detail, live = f"{artifact.id}", False
    if "span" in noted and "source" in noted:
        detail += f", span {noted['span']}"
    if noted.get("pushed") == 0:
        detail += ", not pushed"
    elif version := noted.get("pushed_version"):
        live = serving.live is not None and str(serving.live.number) == version
        detail = f"{version}, in production" if live else f"{artifact.id}, version {version}"
    style = "chosen" if chosen else "live" if live else "artifact"
    return Node(name, artifact.type.removeprefix("AgNews"), detail, style, f"/lineage/{artifact.id}")


def _of_execution(name: str, execution: Execution) -> Node:
    link = f"/runs/{execution.run}#execution-{execution.id}" if execution.run is not None else ""
    return Node(name, execution.type, execution.state.lower(), f"state-{execution.state.lower()}", link)
