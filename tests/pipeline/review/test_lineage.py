"""From data to served versions and back."""

import pytest

from pipeline.review.lineage import downstream, main_line, upstream


@pytest.fixture
def models(snapshot):
    return snapshot.of_type("Model")


def types(lineage):
    return {artifact.type for artifact in lineage.artifacts.values()}


def test_a_model_was_made_of_the_rows_that_came_in(snapshot, models):
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


def test_a_pushed_version_leads_back_to_its_rows_its_blessing_and_its_approval(snapshot):
    pushed = snapshot.of_type("PushedModel")[1]
    found = upstream(snapshot, pushed.id)
    assert {"Examples", "Model", "agnews.Approval", "PushedModel"} <= types(found)


def test_what_a_model_was_compared_with_is_no_ancestor(snapshot, models):
    pushed = snapshot.of_type("PushedModel")[1]
    found = upstream(snapshot, pushed.id)
    assert [one.id for one in found.artifacts.values() if one.type == "Model"] == [models[1].id]
    assert [one.type for one in downstream(snapshot, models[0].id, 9).artifacts.values() if one.type == "Model"] == [
        "Model"
    ]


def test_rows_lead_to_the_latest_models_and_to_their_versions(snapshot, models):
    examples = snapshot.of_type("Examples")[0]
    found = main_line(downstream(snapshot, examples.id, 2), examples.id, up=False)
    shown = [one.id for one in found.artifacts.values() if one.type == "Model"]
    # Runs 8 and 9 are the last that made something of them; of the failed run nothing is left.
    assert shown == [models[6].id, models[7].id]
    assert found.runs_left_out > 0
    assert "agnews.ModelCard" not in types(found)
    assert f"a{examples.id}" in found.artifacts


def test_every_node_hangs_together_with_the_artifact(snapshot):
    examples = snapshot.of_type("Examples")[0]
    found = main_line(downstream(snapshot, examples.id, 3), examples.id, up=False)
    named = {name for arrow in found.arrows for name in arrow}
    assert named == set(found.artifacts) | set(found.executions)


def test_of_what_led_to_no_model_all_is_shown(snapshot):
    card = snapshot.of_type("agnews.ModelCard")[0]
    found = downstream(snapshot, card.id, 3)
    assert list(main_line(found, card.id, up=False).artifacts) == [f"a{card.id}"]
