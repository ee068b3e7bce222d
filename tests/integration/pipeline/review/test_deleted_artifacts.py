"""The site after versions were pruned, and after everything that runs made was deleted and marked so in the store."""

import re
import shutil

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from benchmarks.review_store import SimulatedStore
from pipeline.governance.deployment import open_deployment
from pipeline.metadata.store_reader import StoreReader
from serving.promotion import Signature, end_canary, promote, prune, roll_back
from tests.support.review_site import serving, settings_of, text

_NO_VALUE = re.compile(r".{0,30}\b(?:None|nan|NaN|NaT|Undefined)\b.{0,9}")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    made = SimulatedStore(tmp_path_factory.mktemp("pruned"), files=3, test_rows=8, exports=True)
    made.add_runs(3)
    first, second, _ = made.serve(made.root / "serving_model", 3)
    me = Signature("me@here")
    deployment, _ = open_deployment(settings_of(made.root))
    promote(deployment, first, "stable", me)
    promote(deployment, second, "canary", me)
    end_canary(deployment, me)
    promote(deployment, second, "stable", me)
    roll_back(deployment, first, me)
    assert list(prune(deployment, 1, me).removed) == [second]
    made.before = StoreReader(made.connection).snapshot()
    with serving(settings_of(made.root)) as client:
        made.pages = read_pages(made.before, client)
    return made


@pytest.fixture(scope="module")
def emptied(pruned):
    stored = [artifact for artifact in pruned.store.get_artifacts() if artifact.uri]
    for artifact in stored:
        shutil.rmtree(artifact.uri, ignore_errors=True)
        artifact.state = mlmd.Artifact.DELETED
    pruned.store.put_artifacts(stored)
    return pruned


@pytest.fixture(scope="module")
def site(emptied):
    with serving(settings_of(emptied.root)) as client:
        yield client


def read_pages(snapshot, client):
    """Returns the answers to requests for every page, by address; of lineage, one of each type of artifact."""
    models = [one.id for one in snapshot.of_type("Model")]
    changes = [one.id for one in snapshot.executions.values() if one.type == "Promotion"]
    assert len(changes) == 6
    pages = [
        "/",
        "/runs",
        "/models",
        "/spans",
        "/spans/0",
        "/served",
        "/trends",
        "/approvals",
        "/compare",
        "/models/settings",
    ]
    pages += ["/monitoring", f"/compare?first={models[0]}&second={models[1]}"]
    pages += [f"/models/{one}{rest}" for one in models for rest in ("", "/card")]
    pages += [f"/runs/{one}{rest}" for one in snapshot.runs for rest in ("", "/data")]
    artifacts = {one.type: one.id for one in snapshot.artifacts.values()}
    pages += [f"/lineage/{one}?way={way}" for one in artifacts.values() for way in ("up", "down")]
    pages += [f"/served?changed={one}" for one in changes]
    return {page: client.get(page, follow_redirects=True) for page in pages}


def test_history_outlives_the_files(emptied):
    after = StoreReader(emptied.connection).snapshot()
    assert after.artifacts.keys() == emptied.before.artifacts.keys()
    assert after.links == emptied.before.links
    assert {one.removed for one in after.artifacts.values() if one.uri} == {True}


def test_every_page_answers_without_a_missing_value(pruned, emptied, site):
    for answers in (pruned.pages, read_pages(emptied.before, site)):
        assert {page: answer.status_code for page, answer in answers.items() if answer.status_code >= 500} == {}
        assert {page: found for page, answer in answers.items() if (found := _NO_VALUE.findall(text(answer)))} == {}
    statuses = {page: answer.status_code for page, answer in pruned.pages.items() if answer.status_code != 200}
    assert statuses == {}


def test_a_removed_artifact_is_called_removed(emptied, site):
    [model, *_] = emptied.before.of_type("Model")
    assert f"{model.uri} (removed)" in text(site.get(f"/lineage/{model.id}"))
    assert site.get(f"/models/{model.id}").status_code == 200
