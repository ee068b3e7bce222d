"""A sandbox and a database for each module of whole runs."""

import pytest

from tests.support.sandbox import PipelineSandbox


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    # A path with spaces, as users have.
    return PipelineSandbox(tmp_path_factory.mktemp("a work place"))


@pytest.fixture(scope="module")
def metadata_server():
    """A running PostgreSQL server with the empty database DATABASE. It was asked for, so a missing one is an error."""
    from tests.support import postgresql

    if not postgresql.installed():
        pytest.fail(postgresql.MISSING)
    with postgresql.serving() as running:
        running.create_database(postgresql.DATABASE)
        yield running


@pytest.fixture(scope="module")
def store(metadata_server):
    """The metadata store in that database."""
    return metadata_server.metadata_store()
