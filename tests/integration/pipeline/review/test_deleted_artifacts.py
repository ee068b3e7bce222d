"""The site after everything that runs made was deleted, and marked as deleted in the metadata store."""

import shutil

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_store import SimulatedStore
from pipeline.metadata.store_reader import StoreReader
from tests.support.review_site import serving, settings_of, text


@pytest.fixture(scope="module")
def emptied(tmp_path_factory):
    made = SimulatedStore(tmp_path_factory.mktemp("emptied"), files=2, test_rows=8, exports=True)
    made.add_runs(2)
    made.serve(made.root / "serving_model", 1)
    made.before = StoreReader(made.connection).snapshot()
    stored = [artifact for artifact in made.store.get_artifacts() if artifact.uri]
    for artifact in stored:
        shutil.rmtree(artifact.uri, ignore_errors=True)
        artifact.state = mlmd.Artifact.DELETED
    made.store.put_artifacts(stored)
    return made


@pytest.fixture(scope="module")
def site(emptied):
    with serving(settings_of(emptied.root)) as client:
        yield client


def test_history_outlives_the_files(emptied):
    after = StoreReader(emptied.connection).snapshot()
    assert after.artifacts.keys() == emptied.before.artifacts.keys()
    assert after.links == emptied.before.links
    assert {one.removed for one in after.artifacts.values() if one.uri} == {True}


def test_every_page_answers(emptied, site):
    models = [one.id for one in emptied.before.of_type("Model")]
    pages = ["/", "/runs", "/models", "/spans", "/served", "/trends", "/approvals", "/compare", "/data"]
    pages += [f"/models/{one}{rest}" for one in models for rest in ("", "/card")]
    pages += [f"/runs/{one}{rest}" for one in emptied.before.runs for rest in ("", "/data")]
    pages += [f"/compare?first={models[0]}&second={models[1]}"]
    pages += [f"/lineage/{one}?way={way}" for one in emptied.before.artifacts for way in ("up", "down")]
    failed = {page: answer.status_code for page in pages if (answer := site.get(page)).status_code >= 500}
    assert failed == {}


def test_a_removed_artifact_is_called_removed(emptied, site):
    [model, *_] = emptied.before.of_type("Model")
    assert f"{model.uri} (removed)" in text(site.get(f"/lineage/{model.id}"))
    assert site.get(f"/models/{model.id}").status_code == 200
