"""The first page: the model that answers now, and for it a reviewer's five questions."""

from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.audit_view import entries_about, served_differences
from pipeline.review.comparison import changed_code, changed_data, changed_settings, compare_cards
from pipeline.review.pages.monitoring import last_report
from pipeline.review.review_index import Model
from pipeline.review.site import render, site_of


def production_page(request: Request) -> Response:
    """`/served`: what data, what code, what evidence, who approved, what changed since the last one."""
    site = site_of(request)
    index = site.index()
    serving = site.serving(index)
    live = serving.live
    model = live.model if live else None
    before = index.by_version.get(serving.before) if serving.before else None
    return render(
        request,
        "served.html",
        serving=serving,
        live=live,
        model=model,
        before=before,
        evidence=_evidence(model),
        changes=_changes(before, model),
        trail=entries_about(site.settings, index, model) if model else None,
        monitored=last_report(site, live.number if live else None),
        tampered=served_differences(site.settings, live.number) if live else (),
        any=bool(index.runs),
    )


def _evidence(model: Model | None) -> evidence.Evidence | None:
    try:
        return evidence.read_evidence(model.card.uri) if model and model.card else None
    except evidence.FileUnavailable:
        return None


def _changes(before: Model | None, model: Model | None) -> dict | None:
    """What changed since the model that answered before, None where it cannot be said."""
    first, second = _evidence(before), _evidence(model)
    if first is None or second is None or before is None or model is None or not (before.card and model.card):
        return None
    changes = {
        "settings": changed_settings(first, second),
        "code": changed_code(first, second),
        "data": changed_data(first, second),
    }
    try:
        answers = compare_cards(before.card.uri, model.card.uri)
    except evidence.FileUnavailable:
        return changes
    return changes | {"answers": answers}
