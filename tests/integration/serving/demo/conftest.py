"""The demo page in front of a scripted server."""

import contextlib
import socket
import threading
from functools import partial

import pytest

from serving.client import AsyncClient
from serving.demo import Demo, make_app
from serving.web import web_server


@pytest.fixture
def serve_page(server, tmp_path):
    """Returns a context manager that serves the page and yields its URL. Model cards are tmp_path/VERSION.html."""

    def card(version):
        page = tmp_path / f"{version}.html"
        return page if page.exists() else None

    @contextlib.contextmanager
    def serve(canary=None):
        demo = Demo(partial(AsyncClient, server.address, timeout=5), canary, card, server.address)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            web = web_server(make_app(demo))
            thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                web.should_exit = True
                thread.join(timeout=20)
            assert not thread.is_alive()

    return serve
