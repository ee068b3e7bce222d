"""Pages about runs: the list of runs, and one run with its components and artifacts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.graphs import Node, draw, remove_implied_arrows
from pipeline.metadata.snapshot import Artifact, Execution, Link, Run, Snapshot
from pipeline.review.pagination import filter_by_text, paginate
from pipeline.review.review_index import ACCURACY, ReviewIndex, RunListItem, RunStatus
from pipeline.review.run_settings import filter_by_settings
from pipeline.review.site import Site, render, site_of
from schema.paths import is_remote

_RELOAD_SECONDS = 5
_LOG_BYTES = 200_000
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
    """`/runs`: all runs; `status`, `setting` and `q` filter, `sort`, `order` and `page` select the part shown."""
    index = site_of(request).index()
    status = request.query_params.get("status", "")
    words, setting = request.query_params.get("q", ""), request.query_params.get("setting", "")
    rows, problem = filter_by_settings(list(index.runs.values()), setting, lambda row: index.settings_of(row.run))
    rows = [row for row in rows if not status or row.status == status]
    return render(
        request,
        "runs.html",
        table=paginate(request.query_params, filter_by_text(rows, words, _searched), _KEYS, sort="run"),
        statuses=list(RunStatus),
        status=status,
        words=words,
        setting=setting,
        problem=problem,
        index=index,
    )


def _searched(row: RunListItem) -> str:
    model = f"model {row.model.id}" if row.model else ""
    error = row.failure.error if row.failure else ""
    return f"{row.run.name} {row.status} {row.at} {model} {row.version or ''} {error}"


def run_page(request: Request) -> Response:
    """`/runs/ID`: the components of a run with their states and artifacts, as a graph and as a table."""
    site = site_of(request)
    index = site.index()
    row = find_run(index, request)
    executions = index.snapshot.executions_of(row.run.id)
    names = site.store.node_names([execution.id for execution in executions])
    names = {execution.id: names.get(execution.id) or execution.type for execution in executions}
    reloads = row.status is RunStatus.RUNNING and request.query_params.get("reload") != "off"
    page = render(
        request,
        "run.html",
        row=row,
        names=names,
        has_log=_log_of(site, row.run.name) is not None,
        reloads=reloads,
        bars=_bars(executions),
        executions=executions,
        inputs={one.id: artifacts_of(index.snapshot, index.snapshot.inputs(one.id)) for one in executions},
        outputs={one.id: artifacts_of(index.snapshot, index.snapshot.outputs(one.id)) for one in executions},
        picture=_picture(row.run, index.snapshot, executions, names) if executions else "",
    )
    if reloads:
        page.headers["Refresh"] = str(_RELOAD_SECONDS)
    return page


def show_log(request: Request) -> Response:
    """`/runs/ID/log`: the end of the log that `agnews run` wrote."""
    site = site_of(request)
    row = find_run(site.index(), request)
    path = _log_of(site, row.run.name)
    if path is None:
        raise HTTPException(404, f"run {row.run.name} has no log in the directory pipeline.root; see its orchestrator")
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_BYTES))
        content = file.read().decode("utf-8", "replace")
    return render(request, "log.html", row=row, path=str(path), content=content, is_cut=size > _LOG_BYTES)


def _log_of(site: Site, name: str) -> Path | None:
    """Returns the log of a run of `agnews run`; the run's name must not lead out of the directory."""
    root = site.settings.pipeline.root
    path = Path(root) / "logs" / f"{name}.log"
    return path if not is_remote(root) and Path(name).name == name and path.is_file() else None


def _bars(executions: Sequence[Execution]) -> dict[int, tuple[float, float]]:
    """Returns the start and the width of each execution's bar, in percent of the run's duration."""
    if not executions:
        return {}
    began, ended = min(one.began for one in executions), max(one.changed for one in executions)
    scale = 100 / max(ended - began, 1e-9)
    # Half a percent stays visible.
    return {
        one.id: (min((one.began - began) * scale, 99.5), max((one.changed - one.began) * scale, 0.5))
        for one in executions
    }


def find_run(index: ReviewIndex, request: Request) -> RunListItem:
    """Returns the run of a request's path.

    Raises:
        HTTPException: the metadata store has no such run.
    """
    row = index.runs.get(request.path_params["id"])
    if row is None:
        raise HTTPException(404, f"run {request.path_params['id']} is not in the metadata store")
    return row


def artifacts_of(snapshot: Snapshot, links: list[Link]) -> list[Artifact]:
    """Returns the distinct artifacts of links, in order."""
    return [snapshot.artifacts[number] for number in dict.fromkeys(link.artifact for link in links)]


def _picture(run: Run, snapshot: Snapshot, executions: list[Execution], names: Mapping[int, str]) -> Markup:
    """Draws the components of a run; an earlier release did not store the graph, which then has the data alone."""
    last = {names[one.id]: one for one in executions}
    nodes = [_node(name, last.get(name)) for name in run.upstream or last]
    arrows = {(start, end) for end, upstream in run.upstream.items() for start in upstream}
    states = "; ".join(f"{node.title} {node.detail}" for node in nodes)
    description = f"The table below contains the same. {states}"
    shown = arrows or remove_implied_arrows(_data_arrows(snapshot, executions, names))
    return draw("The run's components", description, nodes, shown, thin=run.control)


def _node(name: str, execution: Execution | None) -> Node:
    if execution is None:
        return Node(name, name, "not started", "", "")
    state = execution.state.lower()
    detail = f"{state}, {execution.changed - execution.began:.1f} s"
    return Node(name, name, detail, f"state-{state}", f"#execution-{execution.id}")


def _data_arrows(snapshot: Snapshot, executions: list[Execution], names: Mapping[int, str]) -> set[tuple[str, str]]:
    """Returns an arrow from each component to the components that read or, as a resolver, selected its outputs."""
    sources: dict[int, str] = {}
    arrows = set()
    for execution in executions:
        name = names[execution.id]
        links = [*snapshot.inputs(execution.id), *snapshot.found(execution.id)]
        arrows |= {(sources[link.artifact], name) for link in links if sources.get(link.artifact, name) != name}
        for link in (*snapshot.outputs(execution.id), *snapshot.found(execution.id)):
            sources.setdefault(link.artifact, name)
    return arrows
