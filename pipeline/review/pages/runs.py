"""The list of runs, one run with its components and artifacts, and the data that came in with it."""

from collections.abc import Mapping

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.data_view import features_of, listed
from pipeline.review.graph import Node, draw, remove_implied_arrows
from pipeline.review.pagination import paginate
from pipeline.review.review_index import ACCURACY, ReviewIndex, RunListItem, RunStatus
from pipeline.review.site import render, site_of
from pipeline.review.snapshot import Artifact, Execution, Link, Snapshot
from schema.features import SPLITS

_KEYS = {
    "run": lambda row: row.run.id,
    "status": lambda row: row.status,
    "duration": lambda row: row.ended - row.run.began,
    "accuracy": lambda row: row.model.figures.get(ACCURACY) if row.model else None,
    "model": lambda row: row.model.id if row.model else None,
    "blessed": lambda row: row.model.blessed if row.model else None,
    "approved": lambda row: (row.model.approval.approvers or None) if row.model and row.model.approval else None,
    "pushed": lambda row: row.version,
}


def list_runs(request: Request) -> Response:
    """`/runs`: sorted and filtered by `sort`, `order`, `status` and `page`."""
    index = site_of(request).index()
    status = request.query_params.get("status", "")
    rows = [row for row in index.runs.values() if not status or row.status == status]
    table = paginate(request.query_params, rows, _KEYS, sort="run")
    return render(request, "runs.html", table=table, statuses=list(RunStatus), status=status, any=bool(index.runs))


def run_page(request: Request) -> Response:
    """`/runs/ID`: what its components did, as a picture and as a table."""
    site = site_of(request)
    index = site.index()
    row = _row(index, request)
    executions = index.snapshot.executions_of(row.run.id)
    names = site.store.node_names([execution.id for execution in executions])
    names = {execution.id: names.get(execution.id, execution.type) for execution in executions}
    return render(
        request,
        "run.html",
        row=row,
        names=names,
        executions=executions,
        inputs={one.id: _artifacts(index.snapshot, index.snapshot.inputs(one.id)) for one in executions},
        outputs={one.id: _artifacts(index.snapshot, index.snapshot.outputs(one.id)) for one in executions},
        picture=_picture(index.snapshot, executions, names) if executions else "",
    )


def data(request: Request) -> Response:
    """`/runs/ID/data`: statistics and anomalies of what came in, a split at a time (`split`)."""
    index = site_of(request).index()
    row = _row(index, request)
    outputs = {
        artifact.type: artifact
        for execution in index.snapshot.executions_of(row.run.id)
        for artifact in _artifacts(index.snapshot, index.snapshot.outputs(execution.id))
        # Transform's Examples have no source.
        if artifact.type != "Examples" or "source" in artifact.properties
    }
    split = request.query_params.get("split", SPLITS[0])
    if split not in SPLITS:
        raise HTTPException(404, f"there is no split {split!r}; there are: {', '.join(SPLITS)}")
    examples, statistics, anomalies = (
        outputs.get(kind) for kind in ("Examples", "ExampleStatistics", "ExampleAnomalies")
    )
    found = None
    if anomalies:
        found = [one for name in SPLITS for one in listed(evidence.anomalies_of(anomalies.uri, name), name)]
    return render(
        request,
        "data.html",
        row=row,
        examples=examples,
        statistics=statistics,
        anomalies=found,
        splits=SPLITS,
        split=split,
        features=features_of(evidence.statistics_of(statistics.uri, split), split) if statistics else [],
    )


def _row(index: ReviewIndex, request: Request) -> RunListItem:
    row = index.runs.get(request.path_params["id"])
    if row is None:
        raise HTTPException(404, f"there is no run {request.path_params['id']} in the metadata store")
    return row


def _artifacts(snapshot: Snapshot, links: list[Link]) -> list[Artifact]:
    return [snapshot.artifacts[number] for number in dict.fromkeys(link.artifact for link in links)]


def _picture(snapshot: Snapshot, executions: list[Execution], names: Mapping[int, str]) -> Markup:
    """Components and what each had from which."""
    nodes = [
        Node(
            str(one.id),
            names[one.id],
            f"{one.state.lower()}, {one.changed - one.began:.1f} s",
            f"state-{one.state.lower()}",
            f"#execution-{one.id}",
        )
        for one in executions
    ]
    states = "; ".join(f"{node.title} {node.detail}" for node in nodes)
    title, arrows = "The run's components, from top to bottom", remove_implied_arrows(_arrows(snapshot, executions))
    return draw(title, f"The table below has the same. {states}", nodes, arrows)


def _arrows(snapshot: Snapshot, executions: list[Execution]) -> set[tuple[str, str]]:
    """From each component to those that had an input from it. A resolver was given artifacts and found others."""
    had_from: dict[int, str] = {}
    arrows = set()
    for execution in executions:
        links = [*snapshot.inputs(execution.id), *snapshot.found(execution.id)]
        arrows |= {(had_from[link.artifact], str(execution.id)) for link in links if link.artifact in had_from}
        for link in (*snapshot.outputs(execution.id), *snapshot.found(execution.id)):
            had_from.setdefault(link.artifact, str(execution.id))
    return arrows
