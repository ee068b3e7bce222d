"""The demo page in front of a scripted server."""

import contextlib
from functools import partial

import pytest

from serving.client import AsyncClient
from serving.demo import Demo, make_app
from tests.support.web_app import serve_app


@pytest.fixture
def serve_page(server, tmp_path):
    """Returns a context manager that serves the page and yields its URL. Model cards are tmp_path/VERSION.html."""

    def card(version):
        page = tmp_path / f"{version}.html"
        return page if page.exists() else None

    @contextlib.contextmanager
    def serve(canary=None):
        demo = Demo(partial(AsyncClient, server.address, timeout=5), canary, card, server.address)
        with serve_app(make_app(demo)) as url:
            yield url

    return serve
