"""Where the ML Metadata store is, in the form that ML Metadata's client takes."""

from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.settings import Settings

SQLITE_FILE = "metadata.sqlite"


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


def existing_store(settings: Settings) -> MetadataStore | None:
    """The store, to be read; None for an embedded one that is not there: looking must not make it.

    Raises:
        SettingsError: the password file cannot be read.
    """
    if settings.metadata.backend != "sqlite":
        return MetadataStore(connection_config(settings))
    path = Path(settings.pipeline.root) / SQLITE_FILE
    if not path.exists():
        return None
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    return MetadataStore(config)
