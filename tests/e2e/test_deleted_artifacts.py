"""A run after somebody deleted what earlier runs made."""

import shutil
from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

# So few rows teach little, and these runs are not about accuracy.
SETTINGS = """
trainer: {epochs: 1, architecture: lstm, embedding_dim: 16, units: 8, batch_tokens: 1000}
evaluator: {min_accuracy: 0.0, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}
model_card: {robustness_rows: 20}
"""


@pytest.fixture(scope="module")
def story(workplace):
    workplace.make_data("data", rows=400)
    (workplace.directory / "agnews.yaml").write_text(SETTINGS)
    made = workplace.directory / "runs/agnews"
    first = workplace.run()
    shutil.rmtree(made / "Trainer/model")
    shutil.rmtree(next(made.glob("Transform/transformed_examples/*/Split-val")))
    shutil.rmtree(made / "StatisticsGen/statistics")
    after = workplace.run("--set", "trainer.learning_rate=0.02")
    marked = workplace.agnews("artifacts", "check", "--mark-deleted")
    again = workplace.run("--no-cache")
    return SimpleNamespace(first=first, after=after, marked=marked, again=again)


def test_a_run_after_a_deletion_makes_what_it_needs_and_pushes(story):
    assert story.first.status == story.after.status == 0
    assert story.after.states["AgNewsExampleGen"] == "cached"
    made_again = ("StatisticsGen", "Transform", "Trainer")
    assert [story.after.states[component] for component in made_again] == ["done"] * 3
    assert "blessed and pushed" in story.after.output


def test_the_run_says_what_is_gone_and_what_follows(story):
    assert "BaselineResolver: model " in story.after.output
    assert "is gone from " in story.after.output
    assert "there is no baseline" in story.after.output


def test_what_was_marked_as_deleted_is_not_looked_for_again(story):
    assert "Trainer" in story.marked
    assert "marked as deleted" in story.marked
    assert story.again.status == 0
    assert "is gone from" not in story.again.output
    assert "no baseline" not in story.again.output
