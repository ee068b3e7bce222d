import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata.connection import connection_config, open_store
from pipeline.settings import Settings
from schema.errors import SettingsError, StoreError

SERVER = {"host": "db", "port": 5432, "database": "agnews", "user": "me"}


def test_the_embedded_store_is_created_in_the_root_and_keeps_artifacts(tmp_path):
    config = connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path / "my runs")}}))
    store = metadata_store.MetadataStore(config)
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Examples"))
    assert [kind.name for kind in metadata_store.MetadataStore(config).get_artifact_types()] == ["Examples"]
    assert (tmp_path / "my runs/metadata.sqlite").exists()


def test_a_postgresql_connection_has_all_settings():
    config = connection_config(
        Settings.model_validate({"metadata": SERVER | {"backend": "postgresql", "password": "secret"}})
    ).postgresql
    assert (config.host, config.port, config.dbname, config.user, config.password) == (
        "db",
        "5432",
        "agnews",
        "'me'",
        "'secret'",
    )


@pytest.fixture(scope="module")
def at(postgresql):
    """A function that returns the settings of an empty database on the real server."""
    postgresql.create_database("at")

    def at(user, password):
        address = {"host": "127.0.0.1", "port": postgresql.port, "database": "at", "user": user}
        return Settings.model_validate({"metadata": address | {"backend": "postgresql", "password": password}})

    return at


@pytest.mark.parametrize("text", ["two words", "back\\slash\\", "'leading", "it's", "a=b c\\'d'", "ungewöhnlich"])
def test_any_user_and_password_reach_postgresql_unchanged(postgresql, at, capfd, text):
    postgresql.create_user(f"user {text}", text)
    assert open_store(connection_config(at(f"user {text}", text))).get_artifact_types() is not None
    assert "PostgreSQL error" not in capfd.readouterr().err


def test_a_refused_password_gives_advice_and_is_not_printed(at, capfd):
    with pytest.raises(
        StoreError, match=r"user 'agnews': there is no server, or it refuses the user, password"
    ) as refused:
        open_store(connection_config(at("agnews", "wrong password\\'s")))
    assert "'PostgreSQL error'" in str(refused.value)
    written = capfd.readouterr().err
    assert "PostgreSQL error: FATAL:  password authentication failed" in written
    assert not [word for word in ("wrong", "'s") if word in written + str(refused.value)]


def test_a_mysql_connection_has_all_settings():
    config = connection_config(
        Settings.model_validate({"metadata": SERVER | {"backend": "mysql", "password": "secret"}})
    ).mysql
    assert (config.host, config.port, config.database, config.user, config.password) == (
        "db",
        5432,
        "agnews",
        "me",
        "secret",
    )


def test_an_artifact_is_read_back_unchanged(tmp_path):
    config = connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path / "deep/runs")}}))
    store = metadata_store.MetadataStore(config)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    [put] = store.put_artifacts([metadata_store_pb2.Artifact(type_id=kind, uri="here/7")])
    [got] = metadata_store.MetadataStore(config).get_artifacts_by_id([put])
    assert (got.uri, got.type_id) == ("here/7", kind)


@pytest.mark.parametrize(("backend", "password"), [("postgresql", "'from a file'"), ("mysql", "from a file")])
def test_the_password_is_read_from_its_file(tmp_path, backend, password):
    (tmp_path / "password").write_text("from a file\nsecond line\n")
    metadata = SERVER | {"backend": backend, "password_file": tmp_path / "password"}
    config = connection_config(Settings.model_validate({"metadata": metadata}))
    assert getattr(config, backend).password == password


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_without_a_password_the_connection_has_an_empty_one(backend):
    config = connection_config(Settings.model_validate({"metadata": SERVER | {"backend": backend}}))
    assert getattr(config, backend).password == ""
    assert config.WhichOneof("config") == backend


def test_a_root_that_cannot_be_created_is_a_user_error(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(SettingsError, match=r"pipeline\.root"):
        connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path / "runs")}}))


def test_a_missing_password_file_is_a_user_error(tmp_path):
    metadata = SERVER | {"backend": "mysql", "password_file": tmp_path / "gone"}
    with pytest.raises(SettingsError, match="gone"):
        connection_config(Settings.model_validate({"metadata": metadata}))


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_an_unreachable_server_is_named_without_the_password(backend):
    nobody = SERVER | {"backend": backend, "host": "127.0.0.1", "port": 1, "password": "secret"}
    with pytest.raises(StoreError, match=f"{backend} database 'agnews' at 127.0.0.1:1 for user 'me'") as refused:
        open_store(connection_config(Settings.model_validate({"metadata": nobody})))
    assert "secret" not in str(refused.value)
    assert refused.value.may_pass


def test_a_file_that_is_not_a_database_is_named_and_unchanged(tmp_path):
    (tmp_path / "metadata.sqlite").write_text("notes" * 100)
    with pytest.raises(StoreError, match=r"metadata.sqlite: .*not a database\. Fix the store"):
        open_store(connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path)}})))
    assert (tmp_path / "metadata.sqlite").read_text() == "notes" * 100
