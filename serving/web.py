"""Protects the review site and the demo page: checks hosts and origins, adds headers, and limits requests and forms.

Starlette's `TrustedHostMiddleware` is not used because it needs a list of all host names, while every IP address of
this machine is valid here.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvicorn
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

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
REQUEST_SECONDS = 15.0
"""Time within which a request must arrive completely, from the connection or the response before it."""


class NumberConvertor(IntegerConvertor):
    """Accepts ids and versions in addresses, as `{id:number}`.

    Starlette's own `int` has no limit, and Python refuses to parse numbers of thousands of digits.
    """

    regex = "[0-9]{1,18}"


register_url_convertor("number", NumberConvertor())


async def read_form(
    request: Request, fields: Sequence[str], *, max_bytes: int, too_long: str, expected: str
) -> dict[str, str]:
    """Returns the named fields of a form; a missing one is empty.

    The form is parsed with the standard library. Starlette's `Request.form` needs python-multipart and does not limit
    the size of an URL-encoded form, so the body would still have to be read here.

    Args:
        request: the request.
        fields: names of the fields.
        max_bytes: maximum size of the body.
        too_long: message for a longer body.
        expected: what the request must contain, for the message about any other body.

    Raises:
        HTTPException: the body is too long or is not an URL-encoded form.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413, too_long)
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=len(fields) + 10)
    except ValueError as error:
        raise HTTPException(400, f"expected {expected}") from error
    return {name: found.get(name, [""])[0] for name in fields}


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
    """Checks the origin of a form; browsers always send one, and no foreign site controls other clients."""
    origin = headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc == headers.get("host")
        except ValueError:
            return False
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


class _TimedProtocol(H11Protocol):
    """Closes a connection whose next request does not arrive in time.

    uvicorn limits only the time between two requests, so that a client could keep connections open with a byte now and
    then, or with none.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        # It also starts to answer a request that has arrived meanwhile.
        super().on_response_complete()
        if not self._is_answering():
            self._start_timer()

    def _is_answering(self) -> bool:
        """Returns whether a whole request has arrived and its response is not complete."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def web_server(app: ASGIApp, **options: Any) -> uvicorn.Server:
    """Creates a web server that closes connections whose requests do not arrive within REQUEST_SECONDS.

    Args:
        app: the application to serve.
        **options: further options of `uvicorn.Config`.
    """
    return uvicorn.Server(uvicorn.Config(app, http=_TimedProtocol, log_level="warning", **options))
