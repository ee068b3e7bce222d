"""Where the ML Metadata store is, and how it is opened."""

import json
from pathlib import Path

import tenacity
from ml_metadata.errors import AbortedError, StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.example_gen.sources import ENVIRONMENT, DataSource
from pipeline.settings import Settings
from schema.errors import SettingsError, StoreError

SQLITE_FILE = "metadata.sqlite"
# Two that set up an empty database at once disturb each other; ML Metadata does not say which of its errors that is.
_ATTEMPTS = 5
# All that ML Metadata says of PostgreSQL; the server's answer goes to standard error.
_NOT_CONNECTED = "connection pointer is NULL"


def connection_config(settings: Settings) -> metadata_store_pb2.ConnectionConfig:
    """The store that the settings name; the directory of an embedded one is made.

    Raises:
        SettingsError: the password file cannot be read, or the directory not be made.
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
        config.postgresql.user = _quoted(metadata.user)
        config.postgresql.password = _quoted(metadata.read_password())
    else:
        config.mysql.host = metadata.host
        config.mysql.port = metadata.port
        config.mysql.database = metadata.database
        config.mysql.user = metadata.user
        config.mysql.password = metadata.read_password() or ""
    return config


def _quoted(value: str | None) -> str:
    """As libpq wants it: ML Metadata pastes it into a connection string, where a space would end it.

    Not for the name of the database, which ML Metadata pastes into SQL as well.
    """
    if not value:
        return ""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> MetadataStore:
    """The store at a connection, made where it is not there yet.

    Raises:
        StoreError: it cannot be reached, or refuses; the message names place and user.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RuntimeError),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random(0, 1),
        reraise=True,
    )
    try:
        return attempts(MetadataStore, connection)
    except RuntimeError as error:
        raise StoreError(
            f"the metadata store cannot be opened: {_place(connection)}: {_reason(error)}; mend it, "
            "or the settings metadata.* (`agnews config show`)"
        ) from error


def _reason(error: RuntimeError) -> str:
    """The error's text, or where it tells nothing, as for PostgreSQL, what it can mean."""
    if _NOT_CONNECTED not in str(error):
        return str(error).strip()
    return (
        "there is no server, or it refuses user, password or database (its answer stands in its own log, "
        "and after 'PostgreSQL error' in that of a run)"
    )


def refusal(error: StatusError) -> str:
    """Why the store refused, and what to do about it."""
    if isinstance(error, AbortedError):  # Its text is the whole record that could not be written.
        return "another process holds it; wait for that one"
    return f"{str(error).strip()}; mend it, or the settings metadata.*"


def _place(connection: metadata_store_pb2.ConnectionConfig) -> str:
    kind = connection.WhichOneof("config")
    config = getattr(connection, kind)
    if kind == "sqlite":
        return config.filename_uri
    database, user = (config.dbname, config.user) if kind == "postgresql" else (config.database, repr(config.user))
    return f"{kind} database {database!r} at {config.host}:{config.port} for user {user}"


def existing_store(settings: Settings) -> MetadataStore | None:
    """The store, to be read; None for an embedded one that is not there: looking must not make it.

    Raises:
        SettingsError: the password file cannot be read.
        StoreError: it cannot be reached, or refuses.
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


def check_storable_in_postgresql(settings: Settings, source: DataSource) -> None:
    """Checks that the store can hold the settings that a run records.

    ML Metadata cannot write a backslash into PostgreSQL (see `components.evaluator.component`), and JSON escapes with
    backslashes. Without this check a component fails with an SQL error.

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
