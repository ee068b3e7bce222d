"""The form that promotes a version or rolls back, with the same rules and records as `agnews versions`."""

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.governance.deployment import open_deployment
from pipeline.review.pages.forms import WrongToken, find_sender, read_fields
from pipeline.review.pages.production import render_production
from pipeline.review.site import Site, site_of
from schema.errors import AgNewsError, SettingsError
from serving.audit import check_name, readable
from serving.promotion import LABELS, PromotionError, Signature, promote, roll_back

_FIELDS = ("token", "by", "reason", "version", "change")
_ROLL_BACK = "rollback"


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
        _apply(site, form, Signature(who, readable(form["reason"]), proof))
    except WrongToken:
        return render_production(request, 403, **form, error="The token is wrong; nothing was changed.")
    except AgNewsError as error:
        return render_production(request, 409, **form, error=f"Nothing was changed: {error}.")
    site.invalidate()
    return RedirectResponse("/served?changed=1", 303)


def _apply(site: Site, form: dict[str, str], signature: Signature) -> None:
    deployment, _ = open_deployment(site.settings, poll_seconds=site.poll_seconds)
    if form["change"] == _ROLL_BACK:
        roll_back(deployment, None, signature)
        return
    number = form["version"]
    if not (number.isdecimal() and number.isascii() and len(number) < 16):
        raise HTTPException(400, "version must be the number of a version")
    if promote(deployment, int(number), form["change"], signature) is None:
        raise PromotionError(f"version {number} is {form['change']} already")
