"""Keeps unit tests quick: a module that makes Python import TensorFlow, TFX or Beam fails."""

import sys

import pytest

_SLOW = ("tensorflow", "tfx", "apache_beam")


@pytest.fixture(autouse=True, scope="module")
def _no_slow_imports(request):
    before = {name for name in _SLOW if name in sys.modules}
    yield
    imported = [name for name in _SLOW if name in sys.modules and name not in before]
    if imported:
        pytest.fail(f"{request.path} imports {', '.join(imported)}: move it to tests/integration")
