"""Who may see the site and who may decide on it: names of hosts, origins, tokens and headers."""

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

# Pages run no script at all; a page that does sends a policy of its own, with a nonce.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# A card, or a report, is one document with its styles in it; whatever it holds, it runs nothing here.
DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer", with which browsers send "Origin: null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LEAST_LENGTH = 16


class HostAndOriginMiddleware:
    """Answers requests that name this machine, and adds the headers that keep a page to itself.

    A page of somebody else can have its own name point to this machine and then read the site as if it were its own
    (DNS rebinding). It cannot choose the Host header: that holds its name.

    Args:
        app: the site.
        names: under which the site is served, beside this machine's own.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]):
        self._app = app
        self._names = {name.lower() for name in ("localhost", socket.gethostname(), *names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if not self._is_ours(headers.get("host", "")):
            answer = PlainTextResponse("This site is not served under that name.", 421)
            await answer(scope, receive, send_guarded)
        elif scope["method"] == "POST" and not _same_origin(headers):
            answer = PlainTextResponse("This form was sent from another site; nothing was done.", 403)
            await answer(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    """An address is nobody's name: no page can have it point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(headers: Headers) -> bool:
    """Browsers send an Origin with every form that is posted; other clients need the token all the same."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


@dataclass(frozen=True)
class Tokens:
    """Who may decide.

    Attributes:
        shared: whoever knows it gives a name; None where there is no such token.
        personal: tokens by the name of the person that each stands for.
    """

    shared: str | None
    personal: Mapping[str, str]

    def __bool__(self) -> bool:
        return self.shared is not None or bool(self.personal)

    def person(self, token: str, given: str) -> str | None:
        """Who decides, None when the token is wrong. All are compared, each in the same time, right or wrong.

        Args:
            token: as it was sent.
            given: the name that was sent with it; a personal token has its own.
        """
        found = None
        if self.shared is not None and _same(token, self.shared):
            found = given
        for name, own in self.personal.items():
            if _same(token, own):
                found = name
        return found


def _same(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode("utf-8", "surrogatepass"), second.encode())


def read_tokens(shared: str | None, file: Path | None) -> Tokens:
    """Takes the tokens that were given to the command.

    Args:
        shared: a token for everybody, or None.
        file: a line a person, "NAME TOKEN", or None; lines that begin with "#" are comments.

    Raises:
        SettingsError: the file cannot be read, a line is no such pair, or a token is too short or used twice.
    """
    personal: dict[str, str] = {}
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise SettingsError(f"--token-file {file}: {error}; name a file that can be read") from error
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, token = line.strip().rpartition(" ")
            if not name.strip():
                raise SettingsError(f"{file}, line {number}: expected a name and a token, for instance: ann 0123…")
            _require_long(token, f"{file}, line {number}")
            if name.strip() in personal or token in personal.values():
                raise SettingsError(f"{file}, line {number}: a name or token that stands above; give each its own")
            personal[name.strip()] = token
        if not personal:
            raise SettingsError(f"{file}: holds no token; write a line a person: NAME TOKEN")
    if shared is not None:
        _require_long(shared, "the token")
    return Tokens(shared, personal)


def _require_long(token: str, where: str) -> None:
    if len(token) < _LEAST_LENGTH:
        raise SettingsError(
            f"{where} has {len(token)} characters, at least {_LEAST_LENGTH} are needed, so that it cannot be guessed; "
            "openssl rand -hex 16 makes one"
        )
