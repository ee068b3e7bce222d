"""The page of models that need approval, and the form that approves or rejects one."""

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from components.approval import Status
from pipeline.governance.approvals import Approvals
from pipeline.governance.audit_check import audit_log
from pipeline.metadata.connection import connection_config, open_store
from pipeline.review.pages.forms import WrongToken, find_sender, read_fields
from pipeline.review.pages.models import find_model, render_model
from pipeline.review.pagination import paginate
from pipeline.review.review_index import ACCURACY
from pipeline.review.site import render, site_of
from schema.errors import AgNewsError

_FIELDS = ("token", "by", "reason", "decision")
_KEYS = {
    "model": lambda model: model.id,
    "status": lambda model: str(model.approval.status),
    "author": lambda model: model.approval.author or None,
    "accuracy": lambda model: model.figures.get(ACCURACY),
    "requested": lambda model: model.approval.requested,
}


def list_approvals(request: Request) -> Response:
    """`/approvals`: models with an approval request; `status` filters, `sort`, `order` and `page` select the part."""
    index = site_of(request).index()
    status = request.query_params.get("status", "")
    requested = [model for model in index.models.values() if model.approval]
    rows = [model for model in requested if model.approval and status in ("", model.approval.status)]
    table = paginate(request.query_params, rows, _KEYS, sort="model")
    return render(
        request, "approvals.html", table=table, statuses=list(Status), status=status, any=bool(requested), index=index
    )


async def decide(request: Request) -> Response:
    """POST `/models/ID/decision` with the fields `token`, `by`, `reason` and `decision` ("approve" or "reject")."""
    form = await read_fields(request, _FIELDS)
    return await to_thread.run_sync(_decide, request, form)


def _decide(request: Request, form: dict[str, str]) -> Response:
    site = site_of(request)
    model = find_model(site.index(), request.path_params["id"])
    token = form.pop("token")
    try:
        approver, proof = find_sender(request, token, form["by"])
    except WrongToken:
        return render_model(request, model, 403, **form, error="The token is wrong; no decision was recorded.")
    if form["decision"] not in ("approve", "reject"):
        raise HTTPException(400, "decision must be approve or reject")
    try:
        approvals = Approvals(open_store(connection_config(site.settings)), site.settings, audit_log(site.settings))
        approved = form["decision"] == "approve"
        approvals.decide(
            str(model.id), approved=approved, who=approver, why=form["reason"], now=site.now(), proof=proof
        )
    except AgNewsError as error:
        return render_model(request, model, 409, **form, error=f"No decision was recorded: {error}.")
    site.invalidate()
    return RedirectResponse(f"/models/{model.id}?decided=1", 303)


def leave_decision(request: Request) -> Response:
    """GET `/models/ID/decision`: the address of a refused decision, which people reload, leads back to the model."""
    return RedirectResponse(f"/models/{request.path_params['id']}#approval", 303)
