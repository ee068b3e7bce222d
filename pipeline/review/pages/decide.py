"""The models that ask to be pushed, and the form that approves or rejects one."""

from urllib.parse import parse_qs

from anyio import to_thread
from ml_metadata.metadata_store import MetadataStore
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from components.approval import Status
from pipeline.governance.approvals import StoredApprovals
from pipeline.governance.audit_check import audit_log
from pipeline.metadata.connection import connection_config, open_store
from pipeline.review.listing import listing
from pipeline.review.pages.models import model_of, render_model
from pipeline.review.registry import ACCURACY
from pipeline.review.site import Site, render, site_of
from schema.errors import AgNewsError

_MOST_BYTES = 20_000
_FIELDS = ("token", "by", "reason", "decision")
_KEYS = {
    "model": lambda model: model.id,
    "status": lambda model: str(model.approval.status),
    "author": lambda model: model.approval.author or None,
    "accuracy": lambda model: model.figures.get(ACCURACY),
}


def approvals(request: Request) -> Response:
    """`/approvals`: the models that ask to be pushed; `status` filters, `sort`, `order` and `page` as elsewhere."""
    registry = site_of(request).registry()
    status = request.query_params.get("status", "")
    asking = [model for model in registry.models.values() if model.approval]
    rows = [model for model in asking if model.approval and status in ("", model.approval.status)]
    table = listing(request.query_params, rows, _KEYS, sort="model")
    return render(request, "approvals.html", table=table, statuses=list(Status), status=status, any=bool(asking))


async def decide(request: Request) -> Response:
    """POST `/models/ID/decision`: `token`, `by`, `reason`, and `decision`, which is approve or reject."""
    form = await _posted(request)
    return await to_thread.run_sync(_decide, request, form)


def _decide(request: Request, form: dict[str, str]) -> Response:
    site = site_of(request)
    model = model_of(site.registry(), request.path_params["id"])
    token = form.pop("token")
    if not site.tokens:
        raise HTTPException(403, "this site is read-only: agnews review --token-file lets it decide")
    who = site.tokens.person(token, form["by"])
    if who is None:
        return render_model(request, model, 403, **form, error="The token is wrong; nothing was decided.")
    if form["decision"] not in ("approve", "reject"):
        raise HTTPException(400, "the decision is approve or reject")
    try:
        approvals = StoredApprovals(_writable_store(site), site.settings, audit_log(site.settings))
        approved = form["decision"] == "approve"
        approvals.decide(str(model.id), approved=approved, who=who, why=form["reason"], now=site.now())
    except AgNewsError as error:
        return render_model(request, model, 409, **form, error=f"Nothing was decided: {error}.")
    site.store.forget_age()
    return RedirectResponse(f"/models/{model.id}#approval", 303)


def _writable_store(site: Site) -> MetadataStore:
    return open_store(connection_config(site.settings))


async def _posted(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, "the form is too long")
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError as error:
        raise HTTPException(400, "expected a form") from error
    return {name: fields.get(name, [""])[0] for name in _FIELDS}
