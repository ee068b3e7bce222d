"""Reads the forms that change something, and finds out who sent them."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.review.login import USER
from pipeline.review.site import site_of
from serving.audit import Proof
from serving.web import read_form

_MAX_FORM_BYTES = 20_000


class WrongToken(Exception):
    """The token of a form is none of the site's."""


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
    site = site_of(request)
    if site.login:
        # The middleware lets no request without a name pass.
        user = request.scope[USER]
        if not site.login.may_decide(user):
            raise HTTPException(403, f"{user} may not decide on models; review.approvers names those who may")
        return user, Proof.LOGIN
    if not site.tokens:
        raise HTTPException(403, "this site is read-only; start it with agnews review --token-file to allow decisions")
    person = site.tokens.person(token, name)
    if person is None:
        raise WrongToken
    return person, Proof.TOKEN if site.tokens.is_personal(token) else Proof.NONE


def may_decide(request: Request) -> bool:
    """Returns whether a page has forms: with a log-in only for approvers, otherwise if there are tokens."""
    site = site_of(request)
    user = request.scope.get(USER)
    return site.login.may_decide(user) if site.login and user else bool(site.tokens)
