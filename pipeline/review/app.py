"""The review site's addresses. To add a page: a function in `pages/`, a template, and a line in ROUTES.

A line in NAVIGATION puts it at the head of every page.
"""

from collections.abc import Collection

from ml_metadata.errors import StatusError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from pipeline.review.evidence import FileUnavailable
from pipeline.review.pages import compare, decide, lineage, models, monitoring, runs, served, spans, trends
from pipeline.review.security import HostAndOriginMiddleware
from pipeline.review.site import STYLE_SHEET, Site, render
from schema.errors import AgNewsError

NAVIGATION = (
    ("/served", "In service"),
    ("/models", "Models"),
    ("/runs", "Runs"),
    ("/approvals", "Approvals"),
    ("/spans", "Data"),
    ("/trends", "Trends"),
    ("/monitoring", "Monitoring"),
)

ROUTES = (
    Route("/", lambda request: RedirectResponse("/served", 307)),
    Route("/style.css", lambda request: FileResponse(STYLE_SHEET, headers={"Cache-Control": "no-cache"})),
    Route("/served", served.production_page),
    Route("/models", models.list_models),
    Route("/models/{id:int}", models.model_page),
    Route("/models/{id:int}/card", models.card),
    Route("/models/{id:int}/decision", decide.decide, methods=["POST"]),
    Route("/approvals", decide.approvals),
    Route("/compare", compare.compare_models),
    Route("/runs", runs.list_runs),
    Route("/runs/{id:int}", runs.run_page),
    Route("/runs/{id:int}/data", runs.data),
    Route("/lineage/{id:int}", lineage.artifact_page),
    Route("/spans", spans.list_spans),
    Route("/spans/{span:int}", spans.span_page),
    Route("/trends", trends.show_trends),
    Route("/monitoring", monitoring.list_reports),
    Route("/monitoring/{version:int}/{moment}", monitoring.report_page),
)


def make_app(site: Site, names: Collection[str] = ()) -> Starlette:
    """The web application.

    Args:
        site: what it shows.
        names: under which it is served, beside this machine's own.
    """
    handlers = {
        HTTPException: _refused,
        FileUnavailable: _not_found,
        AgNewsError: _unavailable,
        StatusError: _unavailable,
    }
    app = Starlette(
        routes=ROUTES, middleware=[Middleware(HostAndOriginMiddleware, names=names)], exception_handlers=handlers
    )
    app.state.site, app.state.navigation = site, NAVIGATION
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return render(request, "message.html", error.status_code, title=str(error.status_code), message=error.detail)


def _unavailable(request: Request, error: Exception) -> Response:
    return render(request, "message.html", 503, title="Not now", message=str(error))


def _not_found(request: Request, error: Exception) -> Response:
    return render(request, "message.html", 404, title="Not there", message=str(error))
