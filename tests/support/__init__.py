"""What several tests use: a sandbox for whole runs, servers, certificates, browsers, databases, simulated data."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
"""The repository."""


def skip_without_tool(missing: str) -> NoReturn:
    """Skips a test whose tool is not installed. Continuous integration must have it, so there the test fails.

    Args:
        missing: what is not installed, and how to install it.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing}; CI=true is set, where tests must not be skipped", pytrace=False)
    pytest.skip(missing)
