"""Where the ML Metadata store is, and how it is opened."""

from pathlib import Path

import tenacity
from ml_metadata.errors import AbortedError, StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.settings import Settings
from schema.errors import RunError

SQLITE_FILE = "metadata.sqlite"
# Two that set up an empty database at once disturb each other; ML Metadata does not say which of its errors that is.
_ATTEMPTS = 5


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
        config.postgresql.user = metadata.user
        config.postgresql.password = metadata.read_password() or ""
    else:
        config.mysql.host = metadata.host
        config.mysql.port = metadata.port
        config.mysql.database = metadata.database
        config.mysql.user = metadata.user
        config.mysql.password = metadata.read_password() or ""
    return config


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> MetadataStore:
    """The store at a connection, made where it is not there yet.

    Raises:
        RunError: it cannot be reached, or refuses; the message names place and user.
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
        raise RunError(
            f"the metadata store cannot be opened: {_place(connection)}: {str(error).strip()}; mend it, "
            "or the settings metadata.* (`agnews config show`)"
        ) from error


def refusal(error: StatusError) -> str:
    """Why the store refused, and what to do about it."""
    if isinstance(error, AbortedError):  # Its text is the whole record that could not be written.
        return "another process holds it; wait for that one"
    return f"{str(error).strip()}; mend it, or the settings metadata.*"


def artifacts_of(store: MetadataStore, pipeline: str, kind: str) -> list[metadata_store_pb2.Artifact]:
    """The artifacts of a type that a pipeline's resolvers find: put out by its executions, and live; oldest first.

    Args:
        store: the metadata store; others' pipelines may be in it, too.
        pipeline: its name.
        kind: the type's name.
    """
    context = store.get_context_by_type_and_name("pipeline", pipeline)
    found = {one.id: one for one in store.get_artifacts_by_type(kind) if one.state == metadata_store_pb2.Artifact.LIVE}
    if context is None or not found:
        return []
    own = {execution.id for execution in store.get_executions_by_context(context.id)}
    events = [one for one in store.get_events_by_artifact_ids(list(found)) if one.execution_id in own]
    made = {event.artifact_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT}
    return [found[id_] for id_ in sorted(made)]


def _place(connection: metadata_store_pb2.ConnectionConfig) -> str:
    kind = connection.WhichOneof("config")
    config = getattr(connection, kind)
    if kind == "sqlite":
        return config.filename_uri
    database = config.dbname if kind == "postgresql" else config.database
    return f"{kind} database {database!r} at {config.host}:{config.port} for user {config.user!r}"


def existing_store(settings: Settings) -> MetadataStore | None:
    """The store, to be read; None for an embedded one that is not there: looking must not make it.

    Raises:
        SettingsError: the password file cannot be read.
        RunError: it cannot be reached, or refuses.
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
