"""A run that waits for an approval, is given one, and pushes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.code_version import code_version
from tests.support.review_site import serving, settings_of, text

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

REQUIRED = ["--set", "promotion.require_approval=true"]
# So few rows teach little, and these runs are not about accuracy.
SETTINGS = """
trainer: {architecture: lstm, embedding_dim: 16, units: 8, consistency: 0.0, perturbation: 0.0}
evaluator: {min_accuracy: 0.1, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}
model_card: {robustness_rows: 20}
"""


@pytest.fixture(scope="module")
def story(workplace):
    workplace.make_data("data", rows=400)
    (workplace.directory / "agnews.yaml").write_text(SETTINGS)
    results = SimpleNamespace(workplace=workplace)
    workplace.environment["AGNEWS_IDENTITY"] = "ann@here"
    results.waiting = workplace.run(*REQUIRED, warm=True)
    results.versions_while_waiting = workplace.versions
    [results.model] = re.findall(r"agnews approvals approve (\d+)", results.waiting.output)

    approve = ["approvals", "approve", results.model]
    results.by_author = workplace.command(*approve, "--reason", "mine")
    results.approved = subprocess.run(
        [sys.executable, "-m", "pipeline", *approve, "--by", "bob@here", "--reason", "good enough"],
        cwd=workplace.directory,
        env=workplace.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    results.pushed = workplace.run(*REQUIRED, warm=True)
    results.verified = workplace.agnews("audit", "verify"), workplace.agnews("versions", "verify", "serving_model")
    results.first_versions = workplace.versions
    results.first = pages(workplace.directory, results.model)
    results.second = workplace.run("--set", "trainer.epochs=4", warm=True)
    results.later = pages(workplace.directory, results.model)
    return results


def pages(directory, model):
    """What the review site says now: `served`, and of a model its `model` page and its `lineage`."""
    with serving(settings_of(directory, root="runs")) as client:
        addresses = {"served": "/served", "model": f"/models/{model}", "lineage": f"/lineage/{model}"}
        return SimpleNamespace(**{name: text(client.get(address)) for name, address in addresses.items()})


def test_a_run_without_an_approval_ends_before_the_push_with_advice(story):
    assert story.waiting.status == 8
    assert "not pushed yet: waiting for approval: agnews approvals approve" in story.waiting.output
    assert "Traceback" not in story.waiting.output
    assert "AgNewsPusher" not in story.waiting.states
    assert story.versions_while_waiting == []


def test_who_trained_it_cannot_approve_it(story):
    assert story.by_author.status == 9
    assert "ann@here trained it" in story.by_author.output


def test_after_the_approval_the_same_run_trains_nothing_and_pushes(story):
    assert story.approved.returncode == 0, story.approved.stderr
    assert story.approved.stderr == ""  # Of TensorFlow's remarks, too.
    assert story.pushed.status == 0
    assert story.pushed.states["Trainer"] == "cached"
    assert story.pushed.states["ApprovalGate"] == story.pushed.states["AgNewsPusher"] == "done"
    assert len(story.first_versions) == 1


def test_the_review_site_answers_a_reviewers_five_questions(story):
    """What data, what code, what evidence, who approved, what changed since the last one: each from the real run."""
    store = story.workplace.store()
    [examples] = [one for one in store.get_artifacts_by_type("Examples") if "source" in one.custom_properties]
    card, _ = store.get_artifacts_by_type("agnews.ModelCard")
    evidence = json.loads((Path(card.uri) / "evidence.json").read_text())
    said = story.first.served
    [version] = story.first_versions
    assert f"Version {version} , pushed" in said
    assert f"It is model {story.model}" in said
    assert f"source {examples.custom_properties['source'].string_value}" in said
    assert "rows 500 read," in said
    assert f"SHA-256 of the rows {evidence['data']['examples']['sha256']}" in said
    assert f"Examples {examples.id}" in story.first.lineage
    assert f"trainer {code_version('trainer')}" in said
    assert f"transform {code_version('transform')}" in said
    assert f"accuracy {evidence['quality']['repeated_accuracy']:.4f}, 95 % interval" in said
    assert "blessed : 5 of 5 thresholds passed" in said
    assert re.search(r"approved 1 of 1, by bob@here \(claimed\).* Author: ann@here", said)
    assert re.search(r"approved by bob@here \(claimed\), 20\d\d-[-\d :]+ UTC: good enough", said)
    assert "What changed since the previous version? This is the first production version." in said
    assert f"push {version} ann@here approved by bob@here (claimed): good enough complete" in said
    assert "the log is unchanged" in story.first.model


def test_the_site_shows_what_changed_in_the_next_served_model(story):
    _, second = story.workplace.store().get_artifacts_by_type("Model")
    first_version, second_version = story.workplace.versions
    said = story.later.served
    assert f"Version {second_version} , pushed" in said
    assert f"It is model {second.id}" in said
    assert f"The previous version was {first_version}: model {story.model} ." in said
    assert f"Changed settings name model {story.model} model {second.id} epochs 3 4 " in said
    assert "source of trainer" not in said  # The revision may change while this runs; the stages' source does not.
    assert "Changed data: none." in said
    assert re.search(r"all rows 100 0\.\d{4} 0\.\d{4} [+−]\d+\.\d\d [+−]\d", said)
    assert "No approval was requested: promotion.require_approval was false." in said
    assert f"push {second_version} ann@here blessed; no approval was asked for complete" in said
    assert f"{first_version}: not loaded" in story.later.model


def test_the_trail_and_what_is_served_are_as_they_were_written(story):
    trail, served = story.verified
    assert "2 entries, as written; 2 known to the metadata store" in trail
    assert f"agnews/{story.first_versions[0]}: as it was pushed" in served
