"""The first page: the production version, with its data, code, evidence, approval and changes."""

from starlette.requests import Request
from starlette.responses import Response

from pipeline.review import evidence
from pipeline.review.alarms import find_alarms
from pipeline.review.audit_trail import find_audit_trail, served_differences
from pipeline.review.comparison import (
    changed_code,
    changed_data,
    changed_settings,
    compare_cards,
    unapplied_thresholds,
)
from pipeline.review.pages.models import weakest_class
from pipeline.review.pages.monitoring import latest_report
from pipeline.review.review_index import ReviewedModel
from pipeline.review.site import render, site_of


def production_page(request: Request) -> Response:
    """`/served`: data, code, evidence, approval and changes of the model in production."""
    return render_production(request)


def render_production(request: Request, status: int = 200, **form: str) -> Response:
    """Renders the page of the production version.

    Args:
        request: the request to answer.
        status: HTTP status code.
        **form: fields of a rejected form that changes versions, and the message `error`.
    """
    site = site_of(request)
    index = site.index()
    serving = site.serving(index)
    version = serving.production
    model = version.model if version else None
    previous = index.by_version.get(serving.previous) if serving.previous else None
    monitored = latest_report(site, version.number if version else None)
    differences = served_differences(site.settings, version.number) if version else ()
    return render(
        request,
        "production.html",
        status,
        form=form,
        changed=bool(request.query_params.get("changed")),
        poll_seconds=site.poll_seconds,
        alarms=find_alarms(version, model, differences, monitored),
        serving=serving,
        version=version,
        model=model,
        previous=previous,
        evidence=_evidence(model),
        changes=_changes(previous, model),
        trail=find_audit_trail(site.settings, index, model) if model else None,
        monitored=monitored,
        file_differences=differences,
        destination=site.settings.pusher.destination,
        weakest=weakest_class(model) if model else ("", None),
        any=bool(index.runs),
    )


def _evidence(model: ReviewedModel | None) -> evidence.Evidence | None:
    try:
        return evidence.read_evidence(model.card.uri) if model and model.card else None
    except evidence.FileUnavailable:
        return None


def _changes(previous: ReviewedModel | None, model: ReviewedModel | None) -> dict | None:
    """Returns the changes since the previous production model; None if a model card is not available."""
    first, second = _evidence(previous), _evidence(model)
    if first is None or second is None or previous is None or model is None or not (previous.card and model.card):
        return None
    changes = {
        "settings": changed_settings(first, second, (previous.needs_approval, model.needs_approval)),
        "unapplied": [unapplied_thresholds(one, (first, second)) for one in (first, second)],
        "code": changed_code(first, second),
        "data": changed_data(first, second),
    }
    try:
        predictions = compare_cards(previous.card.uri, model.card.uri)
    except evidence.FileUnavailable:
        return changes
    return changes | {"predictions": predictions}
