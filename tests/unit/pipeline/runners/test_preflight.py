import sys

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components.download import PublicFiles
from components.example_gen.sources import DataSource
from components.trainer import glove
from pipeline.metadata.connection import check_storable_in_postgresql, connection_config
from pipeline.runners.preflight import check_pods, check_source, prepare, resolve_source
from pipeline.settings import Settings
from pipeline.settings.sources import load
from schema.errors import DataError, SettingsError

SYNTHETIC = DataSource("data/synthetic", "train.csv", "test.csv", "synthetic", "no route to the host")
REAL = DataSource("ag_news", "train.csv", "test.csv", "AG_NEWS_DIR")
DATABASE = {"backend": "postgresql", "host": "db", "port": 5432, "database": "agnews", "user": "me"}


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "runs").mkdir()
    return Settings.model_validate({"pipeline": {"root": str(tmp_path / "runs")}})


def ingest(settings, *, synthetic, pipeline="agnews", state=mlmd.Artifact.LIVE):
    store = MetadataStore(connection_config(settings))
    context = mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name="pipeline")), name=pipeline)
    examples = mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name="Examples")), state=state)
    examples.custom_properties["synthetic"].int_value = int(synthetic)
    execution = mlmd.Execution(type_id=store.put_execution_type(mlmd.ExecutionType(name="AgNewsExampleGen")))
    output = mlmd.Event(type=mlmd.Event.OUTPUT, path=mlmd.Event.Path(steps=[{"key": "examples"}]))
    store.put_execution(execution, [(examples, output)], [context])


def test_a_schema_of_ones_own_needs_the_path_of_its_data():
    settings = Settings.model_validate({"data": {"schema_file": "schema.pbtxt"}})
    with pytest.raises(SettingsError, match=r"data\.schema_file schema\.pbtxt: set data\.path"):
        resolve_source(settings, lambda *_: None)


@pytest.mark.parametrize(
    ("destination", "message"),
    [("serving_model", "needs the package model-signing"), ("gs://bucket/serving", "only versions in a local")],
)
def test_openssf_signatures_that_cannot_be_made_stop_a_run_at_once(monkeypatch, destination, message):
    monkeypatch.setitem(sys.modules, "model_signing", None)  # An import of it fails, as without the package.
    sections = {"promotion": {"openssf_key_file": "openssf.pem"}, "pusher": {"destination": destination}}
    with pytest.raises(SettingsError, match=rf"^promotion\.openssf_key_file.* {message}"):
        prepare(Settings.model_validate(sections), lambda _: REAL)


def test_a_first_run_may_be_on_synthetic_rows_and_so_may_the_next(settings):
    check_source(SYNTHETIC, settings)
    ingest(settings, synthetic=True)
    check_source(SYNTHETIC, settings)


def test_synthetic_rows_do_not_follow_real_ones(settings):
    ingest(settings, synthetic=False)
    with pytest.raises(DataError, match=r"no route to the host.*examples 1.*AG_NEWS_DIR"):
        check_source(SYNTHETIC, settings)
    check_source(REAL, settings)


def test_neither_another_pipelines_rows_nor_a_failed_ingestion_count(settings):
    ingest(settings, synthetic=False, pipeline="other")
    ingest(settings, synthetic=False, state=mlmd.Artifact.ABANDONED)
    check_source(SYNTHETIC, settings)


def on_postgresql(**sections):
    return Settings.model_validate({"metadata": DATABASE} | sections)


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"pipeline": {"root": "/srv/José/runs"}}, "pipeline.root /srv/José/runs"),
        ({"pusher": {"destination": '/srv/"new"'}}, 'pusher.destination /srv/"new"'),
        ({"trainer": {"word_vectors": "a\\b"}}, "trainer.word_vectors a\\b"),
        ({"promotion": {"audit_log": "/srv/a\\b"}}, "promotion.audit_log /srv/a\\b"),
        ({"promotion": {"signing_key_file": "/srv/a\\b"}}, "promotion.signing_key_file /srv/a\\b"),
        ({"promotion": {"openssf_key_file": "/srv/José"}}, "promotion.openssf_key_file /srv/José"),
    ],
)
def test_a_text_that_cannot_be_written_into_postgresql_is_named(sections, named):
    source = DataSource("/data", "train.csv", "test.csv", "path")
    with pytest.raises(SettingsError) as refused:
        check_storable_in_postgresql(on_postgresql(**sections), source)
    assert str(refused.value).startswith(f"{named}: ML Metadata")
    check_storable_in_postgresql(Settings.model_validate(sections), source)


@pytest.mark.parametrize(
    ("found_by", "key"), [("path", "data.path"), ("AG_NEWS_DIR", "AG_NEWS_DIR"), ("synthetic", "data.cache")]
)
def test_where_the_rows_were_found_is_named_by_what_says_so(found_by, key):
    with pytest.raises(SettingsError, match=rf"^{key} /José, data\.test_pattern é\.csv: "):
        check_storable_in_postgresql(on_postgresql(), DataSource("/José", "train.csv", "é.csv", found_by))


def test_the_working_directory_counts_and_other_texts_may_have_any_letter(tmp_path, monkeypatch):
    source = DataSource("/data", "train.csv", "test.csv", "path")
    check_storable_in_postgresql(on_postgresql(promotion={"audit_log": "/srv/José"}), source)
    (tmp_path / "José").mkdir()
    monkeypatch.chdir(tmp_path / "José")
    with pytest.raises(
        SettingsError, match=r"pipeline\.root .*/José/runs, pusher\.destination .*/José/serving_model: "
    ):
        check_storable_in_postgresql(on_postgresql(pipeline={"root": "runs"}), source)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"metadata.backend": "sqlite"}, "pods cannot share"),
        ({"infra_validator.platform": "docker"}, "use process"),
        ({"pipeline.root": "/runs"}, "on the disk of a pod"),
        ({"kubeflow.volume_claim": ""}, "set kubeflow.volume_claim"),
        ({"beam.runner": "flink"}, "needs beam.job_endpoint"),
    ],
)
def test_what_pods_cannot_share_is_refused(flags, message):
    with pytest.raises(SettingsError, match=message):
        check_pods(
            load("kubeflow", None, {key: (value, "the test") for key, value in flags.items()}, environ={}).settings
        )


def test_data_in_a_directory_of_this_machine_are_not_in_a_pod(settings, monkeypatch):
    monkeypatch.setenv("AG_NEWS_DIR", "/home/me/ag_news")
    pods = load("kubeflow", None, {"data.path": ("", "the test")}, environ={}).settings
    with pytest.raises(SettingsError, match="/home/me/ag_news is on the disk of a pod"):
        check_pods(pods)


def test_the_vectors_of_glove_are_downloaded_before_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(glove.FILES, 50, PublicFiles("http://127.0.0.1:9/", {"vectors.gz": "0"}, ""))
    settings = Settings.model_validate({"trainer": {"word_vectors": "glove", "embedding_dim": 50}})
    with pytest.raises(SettingsError, match=r"trainer\.word_vectors glove: .*vectors\.gz: no connection"):
        resolve_source(settings)
