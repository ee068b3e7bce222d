"""The application and its routes.

To add a page, write a function in `pages/` and a template, and add a route to ROUTES. An entry in NAVIGATION links the
page from the header of every page.
"""

from collections.abc import Collection

from ml_metadata.errors import StatusError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pipeline.review.evidence import FileUnavailable
from pipeline.review.openid import FINISH, LOG_OUT, START, OpenIdLogin
from pipeline.review.pages import approvals, compare, data, lineage, models, monitoring, production, runs
from pipeline.review.site import STYLE_SHEET, Site, render
from schema.errors import AgNewsError
from serving.web import HostAndOriginMiddleware

NAVIGATION = (
    ("/served", "In production"),
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
    Route("/served", production.production_page),
    Route("/served/change", production.change_versions, methods=["POST"]),
    Route("/served/change", production.leave_change),
    Route("/models", models.list_models),
    Route("/models/settings", models.settings_side_by_side),
    Route("/models/{id:number}", models.model_page),
    Route("/models/{id:number}/card", models.card),
    Route("/models/{id:number}/decision", approvals.decide, methods=["POST"]),
    Route("/models/{id:number}/decision", approvals.leave_decision),
    Route("/approvals", approvals.list_approvals),
    Route("/compare", compare.compare_models),
    Route("/runs", runs.list_runs),
    Route("/runs/{id:number}", runs.run_page),
    Route("/runs/{id:number}/log", runs.show_log),
    Route("/runs/{id:number}/data", data.run_data_page),
    Route("/lineage/{id:number}", lineage.artifact_page),
    Route("/spans", data.list_spans),
    Route("/spans/{span:number}", data.span_page),
    Route("/trends", models.show_trends),
    Route("/monitoring", monitoring.list_reports),
    Route("/monitoring/{version:number}/{moment}", monitoring.report_page),
)


def make_app(site: Site, names: Collection[str] = ()) -> ASGIApp:
    """Creates the web application.

    Args:
        site: the site's data.
        names: accepted host names in addition to this machine's own.
    """
    handlers = {
        HTTPException: _http_error,
        FileUnavailable: _not_found,
        AgNewsError: _unavailable,
        StatusError: _unavailable,
    }
    routes = _login_routes(site.login) if isinstance(site.login, OpenIdLogin) else []
    app = Starlette(routes=[*ROUTES, *routes], exception_handlers=handlers)
    app.state.site, app.state.navigation = site, NAVIGATION
    # Around the whole application, because Starlette answers unexpected errors outside of its own middleware.
    return HostAndOriginMiddleware(site.login.protect(app) if site.login else app, names)


def _login_routes(login: OpenIdLogin) -> list[Route]:
    def log_out(request: Request) -> Response:
        """POST `/logout`: ends the session and says where the provider's own session ends."""
        return render(request, "logged_out.html", issuer=login.issuer, address=login.log_out(request))

    return [Route(START, login.start), Route(FINISH, login.finish), Route(LOG_OUT, log_out, methods=["POST"])]


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return render(request, "message.html", error.status_code, title=str(error.status_code), message=error.detail)


def _unavailable(request: Request, error: Exception) -> Response:
    return render(request, "message.html", 503, title="Unavailable", message=str(error))


def _not_found(request: Request, error: Exception) -> Response:
    return render(request, "message.html", 404, title="Not found", message=str(error))
