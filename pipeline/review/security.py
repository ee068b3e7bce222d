"""Protects the review site: host names, origins, security headers, and the tokens of approvers.

Starlette's `TrustedHostMiddleware` is not used because it needs a list of all host names, while every IP address of
this machine is valid here.
"""

import hmac
import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schema.errors import SettingsError
from serving.audit import check_name

# No page contains a script.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Model cards and reports are documents with inline styles; the sandbox keeps any script in them from running.
DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer", browsers send "Origin: null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MIN_LENGTH = 16


class HostAndOriginMiddleware:
    """Rejects requests for other hosts and forms from other origins, and adds security headers.

    A foreign site can point its own host name to this machine and then read the site's pages (DNS rebinding). The Host
    header reveals this, because it contains the foreign name.

    Args:
        app: the application to protect.
        names: accepted host names in addition to this machine's name, localhost and all IP addresses.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]):
        self._app = app
        self._names = {name.lower() for name in ("localhost", socket.gethostname(), *names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if not self._is_accepted_host(headers.get("host", "")):
            response = PlainTextResponse("This site is not served under that name.", 421)
            await response(scope, receive, send_with_headers)
        elif scope["method"] == "POST" and not _same_origin(headers):
            response = PlainTextResponse("Rejected: the form was sent from another site.", 403)
            await response(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _is_accepted_host(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    """Returns whether the host is an IP address, which DNS rebinding cannot use."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(headers: Headers) -> bool:
    """Checks the origin of a form; browsers always send one, and other clients need the token anyway."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


@dataclass(frozen=True)
class Tokens:
    """The tokens that authorize decisions.

    Attributes:
        shared: token of all approvers, who enter their own name; None if there is none.
        personal: token of each person, by the person's name.
    """

    shared: str | None
    personal: Mapping[str, str]

    def __bool__(self) -> bool:
        return self.shared is not None or bool(self.personal)

    def person(self, token: str, given: str) -> str | None:
        """Returns the name of the approver, or None if the token is wrong.

        The token is compared with all known tokens in constant time.

        Args:
            token: token in the form.
            given: name in the form; a personal token's own name takes precedence.
        """
        found = None
        if self.shared is not None and _is_equal(token, self.shared):
            found = given
        for name, own in self.personal.items():
            if _is_equal(token, own):
                found = name
        return found


def _is_equal(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode("utf-8", "surrogatepass"), second.encode())


def read_tokens(shared: str | None, file: Path | None) -> Tokens:
    """Reads the tokens given on the command line.

    Args:
        shared: token of all approvers, or None.
        file: file with one line "NAME TOKEN" per person, or None; lines that start with "#" are comments.

    Raises:
        SettingsError: the file cannot be read, a line is malformed, or a token is too short or used twice.
    """
    personal: dict[str, str] = {}
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise SettingsError(f"--token-file {file}: {error}; name a readable file") from error
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, token = line.strip().rpartition(" ")
            name = check_name(name, f"{file}, line {number}")
            if not name:
                raise SettingsError(f"{file}, line {number}: expected a name and a token, for instance: ann 0123…")
            _check_length(token, f"{file}, line {number}")
            if name in personal or token in personal.values():
                raise SettingsError(
                    f"{file}, line {number}: the name or token is already used above; each must be unique"
                )
            personal[name] = token
        if not personal:
            raise SettingsError(f"{file}: contains no token; write one line per person: NAME TOKEN")
    if shared is not None:
        _check_length(shared, "the token")
    return Tokens(shared, personal)


def _check_length(token: str, where: str) -> None:
    if len(token) < _MIN_LENGTH:
        raise SettingsError(
            f"{where} has {len(token)} characters but needs at least {_MIN_LENGTH}; "
            "create a token with openssl rand -hex 16"
        )
