"""What `agnews monitor` found of the served model: the list of its reports, and each report as it was written."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.monitoring.archive import HTML_FILE, StoredReport, reports_directory, stored_reports
from pipeline.review import evidence
from pipeline.review.pagination import paginate
from pipeline.review.security import DOCUMENT_POLICY
from pipeline.review.site import Site, render, site_of
from schema.errors import SettingsError

_KEYS = {"made": lambda kept: kept.moment, "version": lambda kept: (kept.version, kept.moment)}


def list_reports(request: Request) -> Response:
    """`/monitoring`: the reports that are kept; sorted by `sort`, `order` and `page`."""
    site = site_of(request)
    index = site.index()
    kept, flaw = _kept(site)
    table = paginate(request.query_params, kept, _KEYS, sort="made")
    serving = site.serving(index)
    return render(request, "monitoring.html", table=table, flaw=flaw, serving=serving, models=index.by_version)


def report_page(request: Request) -> Response:
    """`/monitoring/VERSION/MOMENT`: a report's page."""
    asked = request.path_params["version"], request.path_params["moment"]
    # Looked up among what is there: an address cannot lead to another file.
    kept = next((one for one in _kept(site_of(request), asked[0])[0] if one.moment == asked[1]), None)
    if kept is None:
        raise HTTPException(404, f"no report of {asked[1]} on version {asked[0]} is kept")
    page = evidence.read_file(str(kept.directory / HTML_FILE))
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": DOCUMENT_POLICY})


def last_report(site: Site, version: int | None) -> StoredReport | None:
    """The last report on a version that is served; None where there is none."""
    kept, _ = _kept(site, version) if version is not None else ([], "")
    return kept[-1] if kept else None


def _kept(site: Site, version: int | None = None) -> tuple[list[StoredReport], str]:
    """The reports on the model, or on a version of it, and why it is not known where they are."""
    try:
        return stored_reports(reports_directory(site.settings), version), ""
    except SettingsError as error:
        return [], str(error)
