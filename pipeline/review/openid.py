"""Log-in through a provider of OpenID Connect: authorization code flow with PKCE, state and nonce.

The browser's cookie holds a signed random number. The sessions are in this process's memory, so that a log-out ends
one even for a copy of the cookie, and a restart ends all.
"""

import re
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.review.login import PERSON, NotAllowedError, Person, Rights
from pipeline.settings import ReviewSettings
from schema.errors import SettingsError
from serving.this_machine import proxy_mounts

START, FINISH, LOG_OUT = "/login", "/login/done", "/logout"
SESSION_SECONDS = 3600
_WITHOUT_LOGIN = (START, FINISH, LOG_OUT, "/style.css")
_TIMEOUT_SECONDS = 10.0
_LEEWAY_SECONDS = 60
_MAX_ADDRESS_LENGTH = 1000
_ERROR_CODE = re.compile(r"[A-Za-z_]{1,40}")


class OpenIdLogin:
    """The log-in, and the sessions of those who have logged in.

    Args:
        settings: settings with the provider, the client's id and the claims.
        client_secret: the client's secret.
        rights: who may read and decide.
        address: the site's address in a browser; None takes that of each request.

    Raises:
        SettingsError: the packages are not installed.
    """

    def __init__(self, settings: ReviewSettings, client_secret: str, rights: Rights, address: str | None):
        try:
            from authlib.integrations.starlette_client import OAuth
            from starlette.middleware.sessions import SessionMiddleware
        except ImportError as error:
            raise SettingsError(
                "review.oidc_issuer needs authlib, httpx2 and itsdangerous: install agnews-pipeline[openid]"
            ) from error
        assert settings.oidc_issuer
        self.issuer, self._settings, self._rights, self._address = settings.oidc_issuer, settings, rights, address
        self._sessions: dict[str, tuple[Person, float]] = {}
        self._add_cookie = partial(
            SessionMiddleware,
            secret_key=secrets.token_hex(),
            session_cookie="agnews_review",
            max_age=SESSION_SECONDS,
            https_only=(address or "").startswith("https:"),
        )
        self._client = OAuth().register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=client_secret,
            server_metadata_url=f"{self.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": settings.oidc_scope,
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_SECONDS,
                "mounts": proxy_mounts(self.issuer),
            },
        )

    def protect(self, app: ASGIApp) -> ASGIApp:
        """Lets only people pass who have logged in, and notes who it is; others are sent to the provider."""

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] not in _WITHOUT_LOGIN:
                person = self._find_person(scope["session"])
                if person is None:
                    await self._ask(HTTPConnection(scope), scope["method"])(scope, receive, send)
                    return
                scope = {**scope, PERSON: person}
            await app(scope, receive, send)

        return self._add_cookie(check)

    def _ask(self, request: HTTPConnection, method: str) -> Response:
        if method not in ("GET", "HEAD"):
            text = "You are not logged in, or no longer; nothing was changed. Open the page again to log in."
            return PlainTextResponse(text, 401)
        page = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        # A cookie belongs to one host name, so the log-in starts under the name that the provider leads back to.
        return RedirectResponse(f"{self._base(request)}{START}?to={quote(page, safe='')}", 303)

    def _base(self, request: HTTPConnection) -> str:
        return (self._address or str(request.base_url)).rstrip("/")

    def _find_person(self, session: Mapping[str, Any]) -> Person | None:
        person, end = self._sessions.get(session.get("id", ""), (None, 0.0))
        return person if time.monotonic() < end else None

    async def start(self, request: Request) -> Response:
        """Sends the browser to the provider.

        Raises:
            HTTPException: the provider cannot be reached, or is not the one in the settings.
        """
        page = request.query_params.get("to", "")
        request.session["to"] = page if _is_own_page(page) else "/"
        with self._explain_errors():
            await self._load_provider()
            return await self._client.authorize_redirect(request, self._base(request) + FINISH)

    async def finish(self, request: Request) -> Response:
        """Starts a session for the person whom the provider's token names, and leads to the page asked for first.

        Raises:
            HTTPException: the provider refused the log-in, its token is not valid, or the person may not read.
        """
        with self._explain_errors():
            await self._load_provider()
            claims = {"iss": {"essential": True, "value": self.issuer}}
            claims["aud"] = {"essential": True, "value": self._settings.oidc_client_id}
            token = await self._client.authorize_access_token(request, claims_options=claims, leeway=_LEEWAY_SECONDS)
            if "userinfo" not in token:
                raise ValueError("its answer has no ID token")
        person = self._person(token["userinfo"])
        page, key, now = request.session.get("to", "/"), secrets.token_urlsafe(), time.monotonic()
        request.session.clear()
        request.session["id"] = key
        self._sessions = {key: session for key, session in self._sessions.items() if session[1] > now}
        self._sessions[key] = person, now + SESSION_SECONDS
        return RedirectResponse(page, 303)

    def log_out(self, request: Request) -> str | None:
        """Ends the session; returns the address where people log out of the provider, if it has one."""
        self._sessions.pop(request.session.get("id", ""), None)
        request.session.clear()
        address = self._client.server_metadata.get("end_session_endpoint")
        return f"{address}?client_id={quote(str(self._settings.oidc_client_id), safe='')}" if address else None

    def _person(self, claims: Mapping[str, Any]) -> Person:
        claim = self._settings.oidc_name_claim
        name = _find_claim(claims, claim)
        if not isinstance(name, str) or not name:
            raise HTTPException(403, f"The provider's token has no {claim}, which review.oidc_name_claim asks for.")
        # Some providers let people enter any address.
        if claim == "email" and claims.get("email_verified") is not True:
            raise HTTPException(
                403,
                "The provider has not verified this e-mail address: its token has no email_verified: true. Verify the "
                "address, or let review.oidc_name_claim name another claim.",
            )
        try:
            return self._rights.person(name, _find_roles(claims, self._settings.oidc_roles_claim))
        except NotAllowedError as error:
            raise HTTPException(403, str(error)) from error

    async def _load_provider(self) -> None:
        """Reads the provider's description, once it has been successful."""
        metadata = await self._client.load_server_metadata()
        if metadata.get("issuer") != self.issuer:
            named = metadata.get("issuer")
            metadata.clear()
            raise ValueError(f"it calls itself {named}, and review.oidc_issuer must have exactly that text")

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Turns errors of the flow into pages for the person who wants to log in."""
        import httpx2
        from authlib.common.errors import AuthlibBaseError
        from authlib.integrations.base_client import MismatchingStateError
        from joserfc.errors import JoseError

        try:
            yield
        except MismatchingStateError as error:
            message = (
                "This log-in was not started in this browser, took too long or is over. Open the site to try again."
            )
            raise HTTPException(400, message) from error
        except JoseError as error:
            raise HTTPException(
                403, f"The token of {self.issuer} is not valid, so nobody was logged in: {error}."
            ) from error
        except AuthlibBaseError as error:
            # The code comes from the address of the page, which anybody can write.
            code = error.error if _ERROR_CODE.fullmatch(str(error.error)) else "an unknown error"
            raise HTTPException(403, f"{self.issuer} refused the log-in: {code}.{_REMEDIES.get(code, '')}") from error
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            message = f"{self.issuer} answered {error.request.url} with the status {status}"
            raise HTTPException(502, f"{message}; check review.oidc_issuer.") from error
        except httpx2.HTTPError as error:
            message = f"{self.issuer}, where people log in, cannot be reached: {error or type(error).__name__}"
            raise HTTPException(503, f"{message}. Try again later.") from error
        except (ValueError, TypeError, AttributeError, KeyError, RuntimeError) as error:
            raise HTTPException(502, f"{self.issuer} is not the provider that was expected: {error}.") from error


_REMEDIES = {
    "invalid_client": " Check review.oidc_client_id and AGNEWS_REVIEW_OIDC_SECRET.",
    "unauthorized_client": " Check review.oidc_client_id and AGNEWS_REVIEW_OIDC_SECRET.",
    "access_denied": " Open the site to try again.",
}


def _is_own_page(page: str) -> bool:
    """Returns whether an address leads to a page of this site, also as browsers read it."""
    try:
        parts = urlsplit(page)
    except ValueError:
        return False
    is_short = len(page) <= _MAX_ADDRESS_LENGTH and page.isascii() and page.isprintable()
    return is_short and page.startswith("/") and "\\" not in page and not (parts.scheme or parts.netloc)


def _find_claim(claims: Any, name: str) -> Any:
    """Returns a claim by its name, or by a path with dots, as in realm_access.roles; None without it."""
    if name in claims:
        return claims[name]
    for key in name.split("."):
        claims = claims.get(key) if isinstance(claims, Mapping) else None
    return claims


def _find_roles(claims: Mapping[str, Any], name: str | None) -> Collection[str]:
    roles = _find_claim(claims, name) if name else ()
    if isinstance(roles, str):
        return {roles}
    return {role for role in roles if isinstance(role, str)} if isinstance(roles, list) else ()
