"""Tests of the lineage from data to pushed versions and back."""

import pytest

from pipeline.review.pages.lineage import downstream, main_line, upstream


@pytest.fixture
def models(snapshot):
    return snapshot.of_type("Model")


def types(lineage):
    return {artifact.type for artifact in lineage.artifacts.values()}


def test_ancestors_of_a_model_include_its_ingested_rows(snapshot, models):
    found = main_line(upstream(snapshot, models[0].id), models[0].id, up=True)
    ingested = [one for one in found.artifacts.values() if "source" in one.properties]
    assert [one.properties["span"] for one in ingested] == [0]
    assert types(found) == {"Examples", "Schema", "TransformGraph", "Model"}
    assert {one.type for one in found.executions.values()} == {
        "AgNewsExampleGen",
        "ImportSchemaGen",
        "Transform",
        "Trainer",
    }


def test_ancestors_of_a_version_include_rows_model_and_approval(snapshot):
    pushed = snapshot.of_type("PushedModel")[1]
    found = upstream(snapshot, pushed.id)
    assert {"Examples", "Model", "agnews.Approval", "PushedModel"} <= types(found)


def test_a_baseline_is_not_an_ancestor(snapshot, models):
    pushed = snapshot.of_type("PushedModel")[1]
    found = upstream(snapshot, pushed.id)
    assert [one.id for one in found.artifacts.values() if one.type == "Model"] == [models[1].id]
    assert [one.type for one in downstream(snapshot, models[0].id, 9).artifacts.values() if one.type == "Model"] == [
        "Model"
    ]


def test_descendants_of_rows_are_the_latest_models(snapshot, models):
    examples = snapshot.of_type("Examples")[0]
    found = main_line(downstream(snapshot, examples.id, 2), examples.id, up=False)
    shown = [one.id for one in found.artifacts.values() if one.type == "Model"]
    # Runs 8 and 9 are the last that used these rows; the failed run left no model.
    assert shown == [models[6].id, models[7].id]
    assert found.runs_left_out > 0
    assert "agnews.ModelCard" not in types(found)
    assert f"a{examples.id}" in found.artifacts


def test_every_node_is_connected_by_an_arrow(snapshot):
    examples = snapshot.of_type("Examples")[0]
    found = main_line(downstream(snapshot, examples.id, 3), examples.id, up=False)
    named = {name for arrow in found.arrows for name in arrow}
    assert named == set(found.artifacts) | set(found.executions)


def test_a_lineage_without_a_model_is_shown_completely(snapshot):
    card = snapshot.of_type("agnews.ModelCard")[0]
    found = downstream(snapshot, card.id, 3)
    assert list(main_line(found, card.id, up=False).artifacts) == [f"a{card.id}"]
