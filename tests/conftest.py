"""What every test gets: an environment without the developer's own settings; and a server that does as it is told."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path, request):
    """A developer's variables and ./agnews.yaml must not change an outcome."""
    for name in list(os.environ):
        if name.startswith("AGNEWS_") or (name == "AG_NEWS_DIR" and "real" not in request.keywords):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def scripted_server():
    """The module of that name: a model server that answers by rule and fails by script."""
    from tests.serving import scripted_server

    return scripted_server


@pytest.fixture
def server(scripted_server):
    """A running one."""
    with scripted_server.serving() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql():
    """A running PostgreSQL server of our own; the module of that name."""
    from tests import postgresql

    if not postgresql.installed():
        pytest.skip(postgresql.MISSING)
    with postgresql.serving() as running:
        yield running
