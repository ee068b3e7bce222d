"""Pages about monitoring: the list of `agnews monitor` reports, and one report."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.monitoring.archive import HTML_FILE, StoredReport, reports_directory, stored_reports
from pipeline.review import evidence
from pipeline.review.pagination import paginate
from pipeline.review.site import Site, render, show_document, site_of
from schema.errors import SettingsError

_KEYS = {"made": lambda report: report.moment, "version": lambda report: (report.version, report.moment)}


def list_reports(request: Request) -> Response:
    """`/monitoring`: all stored reports; `sort`, `order` and `page` select the part shown."""
    site = site_of(request)
    index = site.index()
    reports, problem = _find_reports(site)
    table = paginate(request.query_params, reports, _KEYS, sort="made")
    serving = site.serving(index)
    return render(request, "monitoring.html", table=table, problem=problem, serving=serving, models=index.by_version)


def report_page(request: Request) -> Response:
    """`/monitoring/VERSION/MOMENT`: a report's HTML."""
    version, moment = request.path_params["version"], request.path_params["moment"]
    # The moment is only compared with stored reports, so a URL cannot lead to another file.
    reports, _ = _find_reports(site_of(request), version)
    report = next((report for report in reports if report.moment == moment), None)
    if report is None:
        raise HTTPException(404, f"there is no report of {moment} on version {version}")
    return show_document(evidence.read_file(str(report.directory / HTML_FILE)), "/monitoring", "All reports")


def latest_report(site: Site, version: int | None) -> StoredReport | None:
    """Returns the latest report on a version; None if there is none."""
    reports, _ = _find_reports(site, version) if version is not None else ([], "")
    return reports[-1] if reports else None


def _find_reports(site: Site, version: int | None = None) -> tuple[list[StoredReport], str]:
    """Returns the stored reports on the model or one of its versions, and the reason if they cannot be found."""
    try:
        return stored_reports(reports_directory(site.settings), version), ""
    except SettingsError as error:
        return [], str(error)
