"""Opens the ML Metadata store that the settings name."""

import json
import re
from pathlib import Path

import tenacity
from ml_metadata.errors import AbortedError, StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.example_gen.sources import ENVIRONMENT, DataSource
from pipeline.metadata.store_lock import wait_for_store
from pipeline.settings import Settings
from schema.errors import DataError, SettingsError, StoreError

SQLITE_FILE = "metadata.sqlite"
# Two processes that set up an empty database at once disturb each other, and ML Metadata's error does not say so.
_ATTEMPTS = 5
# ML Metadata's whole message about PostgreSQL. The server's message goes to standard error.
_NOT_CONNECTED = "connection pointer is NULL"

# ML Metadata puts the whole SQL statement after the reason.
_SQL_ERROR = re.compile(r"Error when executing query: (.*?) query: .*", re.DOTALL)


def connection_config(settings: Settings) -> metadata_store_pb2.ConnectionConfig:
    """Returns the connection that the settings name, and creates the directory of an embedded store.

    Raises:
        SettingsError: the password file cannot be read, or the directory cannot be created.
    """
    metadata = settings.metadata
    config = metadata_store_pb2.ConnectionConfig()
    if metadata.backend == "sqlite":
        config.sqlite.filename_uri = str(settings.pipeline.make_root() / SQLITE_FILE)
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    elif metadata.backend == "postgresql":
        config.postgresql.host = metadata.host
        config.postgresql.port = str(metadata.port)
        config.postgresql.dbname = metadata.database
        config.postgresql.user = _quote(metadata.user)
        config.postgresql.password = _quote(metadata.read_password())
    else:
        config.mysql.host = metadata.host
        config.mysql.port = metadata.port
        config.mysql.database = metadata.database
        config.mysql.user = metadata.user
        config.mysql.password = metadata.read_password() or ""
    return config


def _quote(value: str | None) -> str:
    """Quotes a value for libpq: ML Metadata pastes it into a connection string, where a space would end it.

    The name of the database must not be quoted, because ML Metadata pastes it into SQL as well.
    """
    if not value:
        return ""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> MetadataStore:
    """Opens a store, and creates it if it does not exist.

    Raises:
        StoreError: the store cannot be reached or refuses the connection. The message names its address and the user.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RuntimeError),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random(0, 1),
        reraise=True,
    )
    try:
        return attempts(_Store, connection)
    except RuntimeError as error:
        raise StoreError(
            f"the metadata store cannot be opened: {_address(connection)}: {_reason(error)}. Fix the store "
            "or the settings metadata.* (`agnews config show`)"
        ) from error


class _Store(MetadataStore):
    """ML Metadata's store, which waits for a limited time while another process has locked it."""

    def __init__(self, connection: metadata_store_pb2.ConnectionConfig):
        self._embedded = connection.sqlite if connection.HasField("sqlite") else None
        self._wait()
        super().__init__(connection)

    def _call_method(self, method_name, request, response) -> None:
        self._wait()
        super()._call_method(method_name, request, response)

    def _wait(self) -> None:
        if self._embedded is not None:
            read_only = self._embedded.connection_mode == metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
            wait_for_store(Path(self._embedded.filename_uri), to_write=not read_only)


def _reason(error: RuntimeError) -> str:
    """Returns the error's text, or its possible meanings if the text has no information, as for PostgreSQL."""
    if _NOT_CONNECTED not in str(error):
        return _SQL_ERROR.sub(r"\1", str(error)).strip()
    return (
        "there is no server, or it refuses the user, password or database. Its message is in its own log, "
        "and after 'PostgreSQL error' in the log of a run"
    )


def refusal(error: StatusError) -> str:
    """Returns why the store refused a request, and what to do about it."""
    if isinstance(error, AbortedError):  # Its text is the whole record that could not be written.
        return "another process is writing to it; wait until that process has finished"
    return f"{str(error).strip()}; fix the store or the settings metadata.*"


def _address(connection: metadata_store_pb2.ConnectionConfig) -> str:
    kind = connection.WhichOneof("config")
    config = getattr(connection, kind)
    if kind == "sqlite":
        return config.filename_uri
    database, user = (config.dbname, config.user) if kind == "postgresql" else (config.database, repr(config.user))
    return f"{kind} database {database!r} at {config.host}:{config.port} for user {user}"


def existing_store(settings: Settings) -> MetadataStore | None:
    """Opens the store to read it. Returns None if it is an embedded one that does not exist, and does not create it.

    Raises:
        SettingsError: the password file cannot be read.
        StoreError: the store cannot be reached or refuses the connection.
    """
    if settings.metadata.backend != "sqlite":
        return open_store(connection_config(settings))
    path = Path(settings.pipeline.root) / SQLITE_FILE
    if not path.exists():
        return None
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return open_store(config)


def required_store(settings: Settings) -> MetadataStore:
    """Opens the store to read it, like `existing_store`.

    Raises:
        DataError: there is no store.
    """
    store = existing_store(settings)
    if store is None:
        raise DataError(f"there is no metadata store in {settings.pipeline.root}; set pipeline.root, or run agnews run")
    return store


def check_storable_in_postgresql(settings: Settings, source: DataSource) -> None:
    """Checks that the store can hold the settings that a run records.

    ML Metadata cannot write a backslash into PostgreSQL (see `schema.metadata`), and JSON escapes with backslashes.
    Without this check a component fails with an SQL error.

    Raises:
        SettingsError: a setting cannot be stored. The message names it.
    """
    if settings.metadata.backend != "postgresql":
        return
    place = {"path": "data.path", ENVIRONMENT: ENVIRONMENT}.get(source.found_by, "data.cache")
    in_json = {
        place: source.base,
        "data.train_pattern": source.train_pattern,
        "data.test_pattern": source.test_pattern,
        "pipeline.root": settings.pipeline.root,
        "trainer.word_vectors": settings.trainer.word_vectors,
        "pusher.destination": settings.pusher.destination,
        "promotion.openssf_key_file": settings.promotion.openssf_key_file,
        "promotion.openssf_certificate_file": settings.promotion.openssf_certificate_file,
        "promotion.openssf_chain_file": settings.promotion.openssf_chain_file,
    }
    as_they_are = {
        "promotion.audit_log": settings.promotion.audit_log,
        "promotion.signing_key_file": settings.promotion.signing_key_file,
    }
    refused = {key: text for key, text in in_json.items() if "\\" in json.dumps(text)}
    refused |= {key: text for key, text in as_they_are.items() if text and "\\" in text}
    if refused:
        shown = ", ".join(f"{key} {text}" for key, text in refused.items())
        raise SettingsError(
            f"{shown}: ML Metadata cannot store this in PostgreSQL. Use paths of ASCII letters without quotation marks "
            "and backslashes (a relative path includes the working directory), or set metadata.backend to sqlite"
        )
