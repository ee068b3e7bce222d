"""Tests which requests the review site and the demo page accept, and how long they wait for one."""

import asyncio
import contextlib
import socket
import threading

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving import web


def ask(app, method, path, headers):
    """Sends a request directly to an application, and returns status and headers; no client checks the request."""
    sent = []

    async def run():
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
        with contextlib.suppress(RuntimeError, ValueError):  # Starlette raises an unexpected error again.
            await app(scope, receive, send)

    asyncio.run(run())
    return sent[0]["status"], {name.decode().lower() for name, _ in sent[0]["headers"]}


async def fail(request):
    raise RuntimeError("unexpected")


async def show(request):
    return PlainTextResponse(str(request.path_params["id"]))


APP = web.HostAndOriginMiddleware(
    Starlette(routes=[Route("/fail", fail), Route("/items/{id:number}", show, methods=["GET", "POST"])]), ()
)
_LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
_ODD = st.sampled_from(
    ["http://[", "[", "null", "http://[::1", "http://localhost:x", "//", "http://\u00e4", "@", "", "x:y:z"]
)
_PATHS = st.sampled_from(["/items/1", "/items/" + "9" * 5000, "/items/-1", "/x"]) | st.text(max_size=20).map(
    "/items/".__add__
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["GET", "POST"]), _PATHS, st.just("localhost") | _ODD | _LATIN, _ODD | _LATIN)
def test_no_address_or_header_is_a_server_error(method, path, host, origin):
    status, headers = ask(APP, method, path, {"host": host, "origin": origin})
    assert status < 500
    assert {"content-security-policy", "x-content-type-options"} <= headers


def test_an_unexpected_error_has_security_headers():
    status, headers = ask(APP, "GET", "/fail", {"host": "localhost"})
    assert status == 500
    assert "content-security-policy" in headers


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost", 200), ("http://x.example", 403), ("http://[", 403), ("null", 403)]
)
def test_forms_of_other_origins_are_rejected(origin, status):
    assert ask(APP, "POST", "/items/1", {"host": "localhost", "origin": origin})[0] == status


@pytest.mark.parametrize(("host", "status"), [("review.example", 200), ("Review.Example:443", 200), ("x.example", 421)])
def test_a_given_host_name_is_accepted(host, status):
    async def get():
        transport = httpx.ASGITransport(web.HostAndOriginMiddleware(PlainTextResponse("fine"), ["review.example"]))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get("http://127.0.0.1/", headers={"Host": host})

    assert asyncio.run(get()).status_code == status


@pytest.fixture
def address(monkeypatch):
    """A running server that waits 0.3 s for a request."""
    monkeypatch.setattr(web, "REQUEST_SECONDS", 0.3)

    async def answer(scope, receive, send):
        if scope["type"] == "http":
            if scope["path"] == "/slow":
                await asyncio.sleep(0.4)
            while (await receive()).get("more_body"):
                pass
            await PlainTextResponse("fine")(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0), backlog=600) as listening:
        server = web.web_server(answer, lifespan="off")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(timeout=20)
        assert not thread.is_alive()


HALVES = {
    "nothing": b"",
    "headers": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n",
    "body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nab",
    "second": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost:",
}


@pytest.mark.parametrize("half", HALVES)
def test_a_request_that_never_ends_is_closed(address, half):
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(HALVES[half])
        while connection.recv(4096):
            pass


def test_500_half_open_connections_are_closed(address):
    connections = [socket.create_connection(address, timeout=10) for _ in range(500)]
    for connection in connections:
        connection.sendall(HALVES["headers"])
    for connection in connections:
        with connection:
            assert connection.recv(1) == b""


def test_a_slow_response_and_a_kept_connection_are_not_cut(address):
    url = f"http://{address[0]}:{address[1]}"
    with httpx.Client(base_url=url) as client:
        assert [client.get(path).text for path in ("/", "/slow")] == ["fine"] * 2
