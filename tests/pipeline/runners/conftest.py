"""Metadata stores for the runner's tests: the embedded one, and a real PostgreSQL server where one is installed."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile

import pytest
from ml_metadata.proto import metadata_store_pb2

# PostgreSQL refuses to run as root; 65534 is "nobody".
_USER = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}


def _tool(name):
    return shutil.which(name) or next(iter(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")), None)


@pytest.fixture(scope="session")
def postgresql():
    """Port of a server of our own on the loopback interface."""
    if not (_tool("initdb") and _tool("pg_ctl") and _tool("createdb")):
        pytest.skip("PostgreSQL is not installed")
    # Not under pytest's directory: nobody may not look into root's.
    directory = tempfile.mkdtemp(prefix="agnews-postgresql-")
    if _USER:
        os.chown(directory, _USER["user"], _USER["group"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(tool, *arguments):
        # To a file: the server would keep a pipe open for as long as it runs.
        with open(os.devnull, "wb") as nowhere:
            subprocess.run([_tool(tool), *arguments], check=True, stdout=nowhere, stderr=nowhere, cwd="/", **_USER)

    data = f"{directory}/data"
    call("initdb", "-D", data, "-A", "trust", "-U", "agnews", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {directory} -c fsync=off"
    call("pg_ctl", "-D", data, "-w", "-o", options, "-l", f"{directory}/log", "start")
    yield port
    call("pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request, tmp_path):
    """An empty metadata store."""
    config = metadata_store_pb2.ConnectionConfig()
    if request.param == "sqlite":
        config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    port = request.getfixturevalue("postgresql")
    name = f"test{abs(hash(tmp_path))}"
    subprocess.run([_tool("createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "agnews", name], check=True)
    config.postgresql.host = "127.0.0.1"
    config.postgresql.port = str(port)
    config.postgresql.dbname = name
    config.postgresql.user = "agnews"
    return config
