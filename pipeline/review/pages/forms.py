"""Reads the forms that change something, and finds out who sent them."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.review.login import person_of
from pipeline.review.site import site_of
from serving.audit import Proof
from serving.web import read_form

_MAX_FORM_BYTES = 20_000


class WrongToken(Exception):
    """The site does not know the token of a form."""


async def read_fields(request: Request, fields: Sequence[str]) -> dict[str, str]:
    """Returns the named fields of a form; a missing one is empty.

    Raises:
        HTTPException: the body is too long or is not an URL-encoded form.
    """
    return await read_form(
        request, fields, max_bytes=_MAX_FORM_BYTES, too_long="the form is too long", expected="an URL-encoded form"
    )


def find_sender(request: Request, token: str, name: str) -> tuple[str, Proof]:
    """Returns who sent a form, and how the person proved the name.

    Args:
        request: the request.
        token: token in the form.
        name: name in the form; a log-in or a personal token takes precedence.

    Raises:
        HTTPException: the site is read-only, or the person may only read.
        WrongToken: the site does not know the token.
    """
    if person := person_of(request):
        if not person.may_decide:
            raise HTTPException(
                403, f"{person.name} may not decide on models; review.approvers and review.approver_roles say who may"
            )
        return person.name, Proof.LOGIN
    tokens = site_of(request).tokens
    if not tokens:
        raise HTTPException(403, "this site is read-only; start it with agnews review --token-file to allow decisions")
    owner = tokens.person(token, name)
    if owner is None:
        raise WrongToken
    return owner, Proof.TOKEN if tokens.is_personal(token) else Proof.NONE
