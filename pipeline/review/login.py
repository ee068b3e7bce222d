"""The log-in of a trusted proxy: who a request comes from, and what that person may do."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from schema.errors import SettingsError
from schema.files import read_small_file
from serving.audit import check_name

SECRET_HEADER = "X-Agnews-Proxy-Secret"
USER = "agnews.user"
"""Key of the person's name in the scope of a request."""
_MIN_LENGTH = 16


@dataclass(frozen=True)
class ProxyLogin:
    """How a proxy says who has logged in.

    Attributes:
        header: request header with the person's name.
        secret: value of SECRET_HEADER, by which the proxy is known.
        readers: names that may read, in small letters; empty means everyone who has logged in.
        approvers: names that may also approve and reject, in small letters.
    """

    header: str
    secret: str
    readers: frozenset[str]
    approvers: frozenset[str]

    def may_read(self, name: str) -> bool:
        """Returns whether a person may read the pages."""
        return not self.readers or name.casefold() in self.readers | self.approvers

    def may_decide(self, name: str) -> bool:
        """Returns whether a person may approve and reject models."""
        return name.casefold() in self.approvers

    def is_from_proxy(self, headers: Headers) -> bool:
        """Returns whether a request has the proxy's secret, compared in constant time."""
        given = headers.getlist(SECRET_HEADER)
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), self.secret.encode())


def read_login(
    header: str | None, secret_file: Path | None, readers: Iterable[str], approvers: Iterable[str]
) -> ProxyLogin | None:
    """Returns the log-in that the settings review.* describe; None without one.

    Raises:
        SettingsError: the file cannot be read, its secret is too short, or a name is not valid.
    """
    if header is None or secret_file is None:
        return None
    try:
        secret = read_small_file(secret_file).decode("utf-8").partition("\n")[0].strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"review.proxy_secret_file: {error}; name a readable file") from error
    if len(secret) < _MIN_LENGTH:
        raise SettingsError(
            f"review.proxy_secret_file {secret_file}: the first line has {len(secret)} characters but needs at least "
            f"{_MIN_LENGTH}; create a secret with openssl rand -hex 16"
        )
    return ProxyLogin(header, secret, _names(readers, "review.readers"), _names(approvers, "review.approvers"))


def _names(names: Iterable[str], setting: str) -> frozenset[str]:
    return frozenset(check_name(name, setting).casefold() for name in names)


class LoginMiddleware:
    """Lets only requests pass that the proxy sent for a person who may read, and notes the person's name.

    Args:
        app: the application to protect.
        login: the proxy's log-in.
    """

    def __init__(self, app: ASGIApp, login: ProxyLogin):
        self._app, self._login = app, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if not self._login.is_from_proxy(headers):
                text = "Open this site through the proxy that people log in to."
                await PlainTextResponse(text, 401)(scope, receive, send)
                return
            name = _name(headers.getlist(self._login.header))
            if not name or not self._login.may_read(name):
                text = f"{name or 'The person without a valid name'} may not read this site."
                await PlainTextResponse(text, 403)(scope, receive, send)
                return
            scope = {**scope, USER: name}
        await self._app(scope, receive, send)


def _name(values: list[str]) -> str:
    """Returns the name in a header, which must be there once; empty if it is not valid. Proxies send UTF-8."""
    if len(values) != 1:
        return ""
    try:
        return check_name(values[0].encode("latin-1").decode("utf-8"), "the log-in")
    except (ValueError, SettingsError):
        return ""
