"""A sandbox for each module of whole runs."""

import pytest

from tests.support.sandbox import PipelineSandbox


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    # A path with spaces, as users have.
    return PipelineSandbox(tmp_path_factory.mktemp("a work place"))
