"""From a model back to its rows."""

import pytest

from pipeline.metadata.lineage import find_model, model_lineage
from schema.errors import DataError


def test_a_model_leads_back_to_its_rows_statistics_and_settings(recorded):
    origin = model_lineage(recorded.store(), recorded.model_id)
    assert origin.examples.uri == str(recorded.examples)
    assert [one.uri for one in origin.statistics] == [f"{recorded.examples.parent}/statistics"]
    assert origin.training.input("examples").uri == str(recorded.transformed)
    assert '"architecture": "lstm"' in origin.training.parameters["custom_config"]
    assert origin.card is None


def test_a_model_of_a_window_leads_back_to_the_rows_of_each_span(recorded):
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
    origin = model_lineage(recorded.store(), trained.id)
    assert [rows.uri for rows in origin.ingested] == ["/span-7", "/span-8"]
    assert [one.uri for one in origin.statistics] == ["/of-7", "/of-8"]
    assert origin.examples.uri == "/span-8"
    assert origin.ingestion.parameters["span"] == 8


def test_what_took_a_model_from_the_cache_is_not_what_made_it(recorded):
    recorded.write.execution("Trainer", {}, {"model": recorded.trained}, custom_config="another")
    recorded.write.execution(
        "ModelCardGen", {"model": recorded.trained}, {"model_card": recorded.write.artifact("agnews.ModelCard", "/c")}
    )
    origin = model_lineage(recorded.store(), recorded.model_id)
    assert origin.training.parameters["custom_config"] != "another"
    assert origin.card.uri == "/c"


def test_the_card_of_a_model_that_was_compared_with_this_one_is_not_its_card(recorded):
    def card(uri, **inputs):
        recorded.write.execution(
            "ModelCardGen", inputs, {"model_card": recorded.write.artifact("agnews.ModelCard", uri)}
        )

    card("/mine", model=recorded.trained)
    card("/next", model=recorded.write.artifact("Model", "/n"), baseline_model=recorded.trained)
    assert model_lineage(recorded.store(), recorded.model_id).card.uri == "/mine"


@pytest.mark.parametrize("model_id", [1, 4711])
def test_an_id_of_no_model_is_refused_with_those_that_there_are(recorded, model_id):
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
