"""The first page: the production version, with its data, code, evidence, approval and changes.

Its form promotes a version or rolls back, with the same rules and records as `agnews versions`.
"""

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.governance.deployment import open_deployment
from pipeline.review import evidence
from pipeline.review.alarms import find_alarms
from pipeline.review.audit_trail import find_audit_trail, served_differences
from pipeline.review.comparison import compare_cards, find_changes
from pipeline.review.pages.forms import WrongToken, find_sender, read_fields
from pipeline.review.pages.models import weakest_class
from pipeline.review.pages.monitoring import latest_report
from pipeline.review.review_index import ReviewedModel
from pipeline.review.serving_state import ServingState
from pipeline.review.site import Site, render, site_of
from schema.errors import AgNewsError, SettingsError
from serving.audit import check_name, readable
from serving.promotion import LABELS, PromotionError, Record, Signature, promote, roll_back

_FIELDS = ("token", "by", "reason", "version", "change")
_ROLL_BACK = "rollback"


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
        changed=_find_move(serving, request.query_params.get("changed")),
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


def _find_move(serving: ServingState, record: str | None) -> Record | None:
    """Returns the promotion or roll-back with an id, unless it gave a label to no version."""
    return next((one for one in serving.records if str(one.id) == record and one.to_version is not None), None)


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
    changes = find_changes(first, second, (previous.needs_approval, model.needs_approval))
    try:
        predictions = compare_cards(previous.card.uri, model.card.uri)
    except evidence.FileUnavailable:
        return changes
    return changes | {"predictions": predictions}


async def change_versions(request: Request) -> Response:
    """POST `/served/change`: `change` is "rollback", or the label that the version `version` gets."""
    form = await read_fields(request, _FIELDS)
    return await to_thread.run_sync(_change, request, form)


def leave_change(request: Request) -> Response:
    """GET `/served/change`: the address of a refused change, which people reload, leads back to the page."""
    return RedirectResponse("/served#versions", 303)


def _change(request: Request, form: dict[str, str]) -> Response:
    site = site_of(request)
    token = form.pop("token")
    if form["change"] not in (_ROLL_BACK, *LABELS):
        raise HTTPException(400, f"change must be {_ROLL_BACK} or one of the labels {', '.join(LABELS)}")
    try:
        name, proof = find_sender(request, token, form["by"])
        who = check_name(name, "name")
        if not who:
            raise SettingsError("a change needs a name")
        record = _apply(site, form, Signature(who, readable(form["reason"]), proof))
    except WrongToken:
        return render_production(request, 403, **form, error="The token is wrong; nothing was changed.")
    except AgNewsError as error:
        return render_production(request, 409, **form, error=f"Nothing was changed: {error}.")
    site.invalidate()
    return RedirectResponse(f"/served?changed={record.id}", 303)


def _apply(site: Site, form: dict[str, str], signature: Signature) -> Record:
    deployment, _ = open_deployment(site.settings, poll_seconds=site.poll_seconds)
    if form["change"] == _ROLL_BACK:
        return roll_back(deployment, None, signature)
    number = form["version"]
    if not (number.isdecimal() and number.isascii() and len(number) < 16):
        raise HTTPException(400, "version must be the number of a version")
    if record := promote(deployment, int(number), form["change"], signature):
        return record
    raise PromotionError(f"version {number} is {form['change']} already")
