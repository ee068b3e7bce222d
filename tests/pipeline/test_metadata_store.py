from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata_store import connection_config
from pipeline.settings import Settings

SERVER = {"host": "db", "port": 5432, "database": "agnews", "user": "me", "password": "secret"}


def test_the_embedded_store_is_made_under_the_root_and_keeps_what_is_put(tmp_path):
    config = connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path / "my runs")}}))
    store = metadata_store.MetadataStore(config)
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Examples"))
    assert [kind.name for kind in metadata_store.MetadataStore(config).get_artifact_types()] == ["Examples"]
    assert (tmp_path / "my runs/metadata.sqlite").exists()


def test_a_postgresql_server_gets_all_it_needs():
    config = connection_config(Settings.model_validate({"metadata": SERVER | {"backend": "postgresql"}})).postgresql
    assert (config.host, config.port, config.dbname, config.user, config.password) == (
        "db",
        "5432",
        "agnews",
        "me",
        "secret",
    )


def test_a_mysql_server_gets_all_it_needs():
    config = connection_config(Settings.model_validate({"metadata": SERVER | {"backend": "mysql"}})).mysql
    assert (config.host, config.port, config.database, config.user, config.password) == (
        "db",
        5432,
        "agnews",
        "me",
        "secret",
    )
