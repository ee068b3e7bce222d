"""A server that answers by rule and fails by script."""

from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def scripted_server():
    """The module of that name; tests are no package that it could be imported from."""
    path = Path(__file__).parents[2] / "serving" / "scripted_server.py"
    return SourceFileLoader("scripted_server", str(path)).load_module()


@pytest.fixture
def server(scripted_server):
    """A running one."""
    with scripted_server.serving() as running:
        yield running
