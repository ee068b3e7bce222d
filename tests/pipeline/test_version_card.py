"""From a served version to its model card, as a run recorded them."""

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.lineage import PAGE, find_card_page
from pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings.model_validate({"pusher": {"destination": str(tmp_path / "serving")}})


@pytest.fixture
def store(tmp_path):
    """Knows a model that was pushed as version 7, and its card; the version names the model."""
    config = mlmd.ConnectionConfig()
    config.fake_database.SetInParent()
    store = MetadataStore(config)

    def artifact(kind, uri="", **properties):
        made = mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name=kind)), uri=str(uri))
        made.state = mlmd.Artifact.LIVE
        for name, value in properties.items():
            made.custom_properties[name].string_value = value
        [made.id] = store.put_artifacts([made])
        return made

    def execution(kind, made, **inputs):
        type_id = store.put_execution_type(mlmd.ExecutionType(name=kind))
        events = [(one, _event(mlmd.Event.INPUT, name)) for name, one in inputs.items()]
        store.put_execution(mlmd.Execution(type_id=type_id), [*events, (made, _event(mlmd.Event.OUTPUT, "made"))], [])

    model = artifact("Model")
    execution("ModelCardGen", artifact("agnews.ModelCard", tmp_path / "card"), model=model)
    execution("Pusher", artifact("PushedModel", pushed_version="7"), model=model)
    for version in (7, 8):
        extra = tmp_path / f"serving/agnews/{version}/assets.extra"
        extra.mkdir(parents=True)
        (extra / "mlmd_uuid").write_text(str(model.id))
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / PAGE).write_text("the card")
    return store


def _event(kind, name):
    return mlmd.Event(type=kind, path=mlmd.Event.Path(steps=[{"key": name}]))


def test_a_version_leads_to_the_page_of_its_models_card(store, settings):
    assert find_card_page(settings, store, 7).read_text() == "the card"


def test_a_version_that_this_store_did_not_push_has_no_card_here(store, settings):
    assert find_card_page(settings, store, 8) is None
    assert find_card_page(settings, store, 9) is None


def test_a_card_whose_file_is_elsewhere_is_none(store, settings, tmp_path):
    (tmp_path / "card" / PAGE).unlink()
    assert find_card_page(settings, store, 7) is None


def test_the_page_has_the_name_under_which_it_is_written():
    from components.model_card.render import HTML

    assert PAGE == HTML
