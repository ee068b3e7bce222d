"""Metadata stores for the runner's tests: the embedded one, and a real PostgreSQL server where one is installed."""

import pytest
from ml_metadata.proto import metadata_store_pb2


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request, tmp_path):
    """An empty metadata store."""
    config = metadata_store_pb2.ConnectionConfig()
    if request.param == "sqlite":
        config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    server = request.getfixturevalue("postgresql")
    name = f"test{abs(hash(tmp_path))}"
    server.create_database(name)
    config.postgresql.host = "127.0.0.1"
    config.postgresql.port = str(server.port)
    config.postgresql.dbname = name
    config.postgresql.user = "agnews"
    config.postgresql.password = server.password
    return config
