"""Tests that a model leads back to its rows, and a version to its model card."""

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.lineage import PAGE, find_card_page, find_model, model_lineage
from pipeline.settings import Settings
from schema.errors import DataError


def test_lineage_has_rows_statistics_and_settings(recorded):
    lineage = model_lineage(recorded.store(), recorded.model_id)
    assert lineage.examples.uri == str(recorded.examples)
    assert [one.uri for one in lineage.statistics] == [f"{recorded.examples.parent}/statistics"]
    assert lineage.training.input("examples").uri == str(recorded.transformed)
    assert '"architecture": "lstm"' in lineage.training.parameters["custom_config"]
    assert lineage.card is None


def test_lineage_of_a_window_has_the_rows_of_each_span(recorded):
    write = recorded.write
    spans = {number: write.artifact("Examples", f"/span-{number}", span=number) for number in (8, 7)}
    for number, rows in spans.items():
        write.execution("AgNewsExampleGen", {}, {"examples": rows}, span=number)
        write.execution(
            "StatisticsGen", {"examples": rows}, {"statistics": write.artifact("ExampleStatistics", f"/of-{number}")}
        )
    graph, prepared = write.artifact("TransformGraph", "/graph"), write.artifact("Examples", "/prepared")
    trained = write.artifact("Model", "/model")
    write.execution("Transform", {"examples": list(spans.values())}, {"transform_graph": graph, "examples": prepared})
    write.execution("Trainer", {"transform_graph": graph, "examples": prepared}, {"model": trained})
    lineage = model_lineage(recorded.store(), trained.id)
    assert [rows.uri for rows in lineage.ingested] == ["/span-7", "/span-8"]
    assert [one.uri for one in lineage.statistics] == ["/of-7", "/of-8"]
    assert lineage.examples.uri == "/span-8"
    assert lineage.ingestion.parameters["span"] == 8


def test_a_cached_execution_did_not_make_the_model(recorded):
    recorded.write.execution("Trainer", {}, {"model": recorded.trained}, custom_config="another")
    recorded.write.execution(
        "ModelCardGen", {"model": recorded.trained}, {"model_card": recorded.write.artifact("agnews.ModelCard", "/c")}
    )
    lineage = model_lineage(recorded.store(), recorded.model_id)
    assert lineage.training.parameters["custom_config"] != "another"
    assert lineage.card.uri == "/c"


def test_the_card_of_a_compared_model_is_not_the_models_card(recorded):
    def card(uri, **inputs):
        recorded.write.execution(
            "ModelCardGen", inputs, {"model_card": recorded.write.artifact("agnews.ModelCard", uri)}
        )

    card("/mine", model=recorded.trained)
    card("/next", model=recorded.write.artifact("Model", "/n"), baseline_model=recorded.trained)
    assert model_lineage(recorded.store(), recorded.model_id).card.uri == "/mine"


@pytest.mark.parametrize("model_id", [1, 4711])
def test_the_error_on_an_unknown_id_lists_the_models(recorded, model_id):
    with pytest.raises(DataError, match=f"no model {model_id}; its models: {recorded.model_id}"):
        model_lineage(recorded.store(), model_id)


def test_a_pushed_version_names_its_model(recorded, tmp_path):
    version = tmp_path / "place/serving/agnews/1795578266"
    (version / "assets.extra").mkdir(parents=True)
    with pytest.raises(DataError, match="does not say which model"):
        find_model(recorded.settings, 1795578266)
    (version / "assets.extra/mlmd_uuid").write_text("9")
    assert find_model(recorded.settings, 1795578266) == (9, version)
    assert find_model(recorded.settings, 9) == (9, None)


@pytest.fixture
def settings(tmp_path):
    return Settings.model_validate({"pusher": {"destination": str(tmp_path / "serving")}})


@pytest.fixture
def store(tmp_path):
    """A store with a model that was pushed as version 7, and its card. The version names the model."""
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


def test_the_card_page_of_a_version_is_found(store, settings):
    assert find_card_page(settings, store, 7).read_text() == "the card"


def test_a_version_pushed_with_another_store_has_no_card(store, settings):
    assert find_card_page(settings, store, 8) is None
    assert find_card_page(settings, store, 9) is None


def test_a_card_without_its_file_has_no_page(store, settings, tmp_path):
    (tmp_path / "card" / PAGE).unlink()
    assert find_card_page(settings, store, 7) is None


def test_the_page_has_the_name_that_the_card_component_writes():
    from components.model_card.render import HTML

    assert PAGE == HTML
