"""A real PostgreSQL server of the tests' own, on the loopback interface, that asks for a password."""

import glob
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore

MISSING = "PostgreSQL is not installed: apt install postgresql (Debian, Ubuntu), or put initdb and pg_ctl on the PATH"
USER = "agnews"
DATABASE = "metadata"
# PostgreSQL refuses to run as root; 65534 is "nobody".
_ACCOUNT = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        password: of the user `USER`.
    """

    port: int
    password: str

    def create_database(self, name: str) -> None:
        """Makes an empty database."""
        self._call("createdb", name)

    def create_user(self, name: str, password: str) -> None:
        """Makes a user who may do everything."""
        literal = password.replace("'", "''")
        self._call("psql", "postgres", "-c", f"CREATE ROLE \"{name}\" LOGIN SUPERUSER PASSWORD '{literal}'")

    def dump(self, name: str) -> str:
        """All that a database holds, as SQL."""
        return self._call("pg_dump", name)

    def metadata_store(self, name: str = DATABASE) -> "MetadataStore":
        """Opens the metadata store in a database."""
        from ml_metadata.metadata_store import MetadataStore
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.ConnectionConfig()
        config.postgresql.host, config.postgresql.port = "127.0.0.1", str(self.port)
        config.postgresql.dbname, config.postgresql.user = name, USER
        config.postgresql.password = self.password
        return MetadataStore(config)

    def _call(self, tool: str, database: str, *arguments: str) -> str:
        command = [_tool(tool), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, *arguments, database]
        environment = os.environ | {"PGPASSWORD": self.password}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def installed() -> bool:
    """Whether this machine has what a server needs."""
    return all(_tool(name) for name in ("initdb", "pg_ctl", "createdb", "pg_dump", "psql"))


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port, ended and removed afterwards."""
    # Not under pytest's directory: nobody may not look into root's.
    directory = tempfile.mkdtemp(prefix="agnews-postgresql-")
    server = Server(_free_port(), secrets.token_hex(12))
    data, password_file = f"{directory}/data", f"{directory}/password"
    with open(password_file, "w") as file:
        file.write(server.password)
    if _ACCOUNT:
        for path in (directory, password_file):
            os.chown(path, _ACCOUNT["user"], _ACCOUNT["group"])

    def call(tool, *arguments):
        # To a file: the server would keep a pipe open for as long as it runs.
        with open(os.devnull, "wb") as nowhere:
            subprocess.run([_tool(tool), *arguments], check=True, stdout=nowhere, stderr=nowhere, cwd="/", **_ACCOUNT)

    call("initdb", "-D", data, "-A", "scram-sha-256", f"--pwfile={password_file}", "-U", USER, "--no-sync")
    options = f"-h 127.0.0.1 -p {server.port} -k {directory} -c fsync=off"
    call("pg_ctl", "-D", data, "-w", "-o", options, "-l", f"{directory}/log", "start")
    try:
        yield server
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(directory)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _tool(name: str) -> str | None:
    return shutil.which(name) or next(iter(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")), None)
