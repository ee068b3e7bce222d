"""What every test gets: an environment without the developer's own settings."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path, request):
    """A developer's variables and ./agnews.yaml must not change an outcome."""
    for name in list(os.environ):
        if name.startswith("AGNEWS_") or (name == "AG_NEWS_DIR" and "real" not in request.keywords):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
