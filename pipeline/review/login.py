"""Who a request comes from, and what that person may do; and the log-in of a trusted proxy."""

import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from schema.errors import SettingsError
from schema.files import read_small_file
from schema.wording import amount
from serving.audit import check_name

SECRET_HEADER = "X-Agnews-Proxy-Secret"
PERSON = "agnews.person"
"""Key of the person who has logged in, in the scope of a request."""
_MIN_LENGTH = 16


@dataclass(frozen=True)
class Person:
    """Somebody who has logged in and may read the site.

    Attributes:
        name: the name that decisions are recorded under.
        may_decide: whether the person may also decide on models and change versions.
    """

    name: str
    may_decide: bool


def person_of(request: HTTPConnection) -> Person | None:
    """Returns the person whom a log-in named; None on a site without a log-in."""
    return request.scope.get(PERSON)


class NotAllowedError(Exception):
    """The person may not read the site; the message says why."""


@dataclass(frozen=True)
class Rights:
    """Who may read and who may decide.

    Attributes:
        readers: names that may read, in small letters.
        approvers: names that may also decide, in small letters.
        reader_roles: roles whose members may read.
        approver_roles: roles whose members may also decide.
    """

    readers: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    reader_roles: frozenset[str] = frozenset()
    approver_roles: frozenset[str] = frozenset()

    def person(self, name: str, roles: Collection[str] = ()) -> Person:
        """Returns the person with a name and roles. Without readers and reader roles, everyone may read.

        Raises:
            NotAllowedError: the name is not valid, or the person may not read.
        """
        try:
            name = check_name(name, "the log-in")
        except SettingsError as error:
            raise NotAllowedError(f"{error}.") from error
        if not name:
            raise NotAllowedError("The log-in has no name.")
        may_decide = name.casefold() in self.approvers or not self.approver_roles.isdisjoint(roles)
        is_reader = name.casefold() in self.readers or not self.reader_roles.isdisjoint(roles)
        if not (may_decide or is_reader) and (self.readers or self.reader_roles):
            raise NotAllowedError(
                f"{name} may not read this site; the settings review.* name the people and roles that may."
            )
        return Person(name, may_decide)


def read_rights(
    readers: Iterable[str],
    approvers: Iterable[str],
    reader_roles: Iterable[str] = (),
    approver_roles: Iterable[str] = (),
) -> Rights:
    """Returns the rights that the settings review.* give.

    Raises:
        SettingsError: a name is not valid.
    """
    return Rights(
        _names(readers, "review.readers"),
        _names(approvers, "review.approvers"),
        frozenset(reader_roles),
        frozenset(approver_roles),
    )


def _names(names: Iterable[str], setting: str) -> frozenset[str]:
    return frozenset(check_name(name, setting).casefold() for name in names)


@dataclass(frozen=True)
class ProxyLogin:
    """How a proxy says who has logged in.

    Attributes:
        header: request header with the person's name.
        secret: value of SECRET_HEADER, by which the proxy is known.
        rights: who may read and decide.
    """

    header: str
    secret: str
    rights: Rights

    def protect(self, app: ASGIApp) -> ASGIApp:
        """Lets only requests pass that the proxy sent for a person who may read, and notes the person."""

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                headers = Headers(scope=scope)
                if not self._is_from_proxy(headers):
                    text = "Open this site through the proxy that people log in to."
                    await PlainTextResponse(text, 401)(scope, receive, send)
                    return
                try:
                    scope = {**scope, PERSON: self.rights.person(_name(headers.getlist(self.header)))}
                except NotAllowedError as error:
                    await PlainTextResponse(str(error), 403)(scope, receive, send)
                    return
            await app(scope, receive, send)

        return check

    def _is_from_proxy(self, headers: Headers) -> bool:
        """Returns whether a request has the proxy's secret, compared in constant time."""
        given = headers.getlist(SECRET_HEADER)
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), self.secret.encode())


def _name(values: list[str]) -> str:
    """Returns the name in a header, which must be there once; empty if it is not. Proxies send UTF-8."""
    try:
        return values[0].encode("latin-1").decode("utf-8") if len(values) == 1 else ""
    except ValueError:
        return ""


def read_proxy_login(header: str, secret_file: Path, rights: Rights) -> ProxyLogin:
    """Returns the log-in of a proxy.

    Raises:
        SettingsError: the file cannot be read, or its secret is too short.
    """
    try:
        secret = read_small_file(secret_file).decode("utf-8").partition("\n")[0].strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"review.proxy_secret_file: {error}; name a readable file") from error
    if len(secret) < _MIN_LENGTH:
        raise SettingsError(
            f"review.proxy_secret_file {secret_file}: the first line has {amount(len(secret), 'character')} but "
            f"needs at least {_MIN_LENGTH}; create a secret with openssl rand -hex 16"
        )
    return ProxyLogin(header, secret, rights)
