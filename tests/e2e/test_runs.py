"""One story: a first run, the same again, another setting, a model that needs an approval, drifted and spoiled data."""

import csv
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.code_version import code_version
from tests.support.openlineage import facets
from tests.support.review_site import serving, settings_of, text

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SPANS = ["--set", "data.train_pattern={SPAN}/train.csv", "--set", "data.test_pattern={SPAN}/test.csv"]
# Perturbed copies of the texts, which the tutorial's runs train on, need a second compilation.
SETTINGS = """
trainer: {consistency: 0.0, perturbation: 0.0}
model_card: {robustness_rows: 100}
"""
# A search over small networks, of which the best needs an approval, and which may be worse than the one before.
SEARCH = """
tuner: {enabled: true, trials: 2, trial_epochs: 1}
trainer: {consistency: 0.0, perturbation: 0.0, architecture: lstm, units: 8, epochs: 2}
evaluator: {min_accuracy: 0.1, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}
model_card: {robustness_rows: 20}
promotion: {require_approval: true}
"""
BEFORE_TRAINER = [
    "AgNewsExampleGen",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "ValidationGate",
    "Transform",
]


@pytest.fixture(scope="module")
def story(workplace):
    workplace.make_data("data/1")
    results = SimpleNamespace(workplace=workplace)
    (workplace.directory / "agnews.yaml").write_text(SETTINGS)
    workplace.environment["AGNEWS_IDENTITY"] = "ann@here"
    results.first = workplace.run(*SPANS)
    results.first_versions = workplace.versions
    results.first_temporary = sorted(path.name for path in workplace.temporary.iterdir())
    results.second = workplace.run(*SPANS, warm=True)
    results.second_versions = workplace.versions
    results.listed = json.loads(workplace.agnews("versions", "list", "--profile", "sample", "--json"))
    # So few steps that the network is worse than the one before: it must not be pushed.
    results.worse = workplace.run(*SPANS, "--set", "trainer.learning_rate=0.000001", warm=True)
    results.worse_versions = workplace.versions
    results.first_page = production_page(workplace)
    (workplace.directory / "search.yaml").write_text(SEARCH)
    results.waiting = workplace.run(*SPANS, "--config", "search.yaml", warm=True)
    results.versions_while_waiting = workplace.versions
    [results.model] = re.findall(r"agnews approvals approve (\d+)", results.waiting.output)
    approve = ["approvals", "approve", results.model, "--profile", "sample"]
    results.by_author = workplace.command(*approve, "--reason", "mine")
    results.approved = subprocess.run(
        [sys.executable, "-m", "pipeline", *approve, "--by", "bob@here", "--reason", "good enough"],
        cwd=workplace.directory,
        env=workplace.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    results.pushed = workplace.run(*SPANS, "--config", "search.yaml", warm=True)
    results.verified = workplace.agnews("audit", "verify"), workplace.agnews("versions", "verify", "serving_model")
    results.pushed_versions = workplace.versions
    results.second_page = production_page(workplace)

    workplace.make_data("data/2")
    rewrite(workplace.directory / "data/2/train.csv", lambda label: 1 if label == 2 else label)
    results.drifted = workplace.run(*SPANS, warm=True)

    with open(workplace.directory / "data/1/train.csv", "a") as file:
        file.write('"9","an","unknown class"\n' * 30)
    results.spoiled = workplace.run(*SPANS, "--set", "data.span=1", warm=True)
    results.last_versions = workplace.versions
    return results


def production_page(workplace):
    """What the review site says now about the version in production."""
    with serving(settings_of(workplace.directory, root="runs")) as client:
        return text(client.get("/served"))


def rewrite(path, relabel):
    with open(path, newline="") as file:
        rows = [(relabel(int(label)), *texts) for label, *texts in csv.reader(file)]
    with open(path, "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)


def test_a_run_leaves_the_temporary_directory_as_it_was(story):
    # TensorFlow's AutoGraph removes the code that it writes there, and not what Python compiled of it, some kilobytes.
    assert [name for name in story.first_temporary if name != "__pycache__"] == []


def test_the_first_run_pushes_a_blessed_model(story):
    assert story.first.status == 0
    assert len(story.first_versions) == 1
    assert "blessed and pushed as version " + story.first_versions[0] in story.first.output


def test_the_summary_has_data_metrics_and_the_next_command(story):
    shown = story.first.output
    assert "2,500 rows read" in shown
    assert "0 quarantined" in shown
    assert "class Sci/Tech" in shown
    assert "no baseline" in shown
    assert "next, serve it: " in shown


def test_noise_is_in_the_log_and_not_on_the_terminal(story):
    assert "absl" not in story.first.output
    assert "oneDNN" not in story.first.output
    logs = list((story.workplace.directory / "runs/logs").glob("*.log"))
    assert len(logs) == 7
    assert any("absl" in log.read_text() for log in logs)


def test_the_pushed_model_answers_and_knows_its_metadata_id(story):
    import tensorflow as tf

    version = story.workplace.directory / "serving_model/agnews" / story.first_versions[0]
    model = tf.saved_model.load(str(version))
    answer = model.signatures["serving_default"](
        title=tf.constant(["Striker scored"]), description=tf.constant(["The goalkeeper defended before the playoff"])
    )
    assert answer["label"].numpy().tolist() == [b"Sports"]
    model_id = int((version / "assets.extra/mlmd_uuid").read_text())
    [artifact] = story.workplace.store().get_artifacts_by_id([model_id])
    assert artifact.type == "Model"
    assert (version / "assets.extra/tf_serving_warmup_requests").stat().st_size > 0


def test_the_span_and_the_counts_are_on_the_artifact(story):
    examples = [
        a for a in story.workplace.store().get_artifacts_by_type("Examples") if "rows_read" in a.custom_properties
    ]
    properties = examples[0].custom_properties
    assert properties["span"].int_value == 1
    assert properties["rows_read"].int_value == properties["rows_written"].int_value == 2500


def test_an_unchanged_run_takes_everything_from_the_cache(story):
    assert story.second.status == 0
    resolvers = {"PreviousExamplesResolver", "WindowResolver", "BaselineResolver"}
    assert {state for name, state in story.second.states.items() if name not in resolvers} == {"cached"}
    assert story.second_versions == story.first_versions
    assert "nothing new: span 1 trained in run local-" in story.second.output
    assert "nothing new" not in story.first.output


def test_a_version_is_listed_with_the_run_that_pushed_it(story):
    [version] = story.listed
    assert f"run {version['pushed_by']}" in story.first.output
    assert f"{version['metrics']['accuracy']:.4f}" in story.first.output


def test_a_training_setting_runs_from_the_trainer_only(story):
    assert {story.worse.states[name] for name in BEFORE_TRAINER} == {"cached"}
    assert {story.worse.states[name] for name in ("Trainer", "Evaluator", "AgNewsInfraValidator", "AgNewsPusher")} == {
        "done"
    }


def test_a_worse_model_is_not_pushed_and_the_summary_says_why(story):
    assert story.worse.status == 0
    assert "not blessed: accuracy is" in story.worse.output
    assert "against the baseline" in story.worse.output
    assert story.worse_versions == story.first_versions


def test_every_model_has_a_card_blessed_or_not(story):
    store = story.workplace.store()
    cards = store.get_artifacts_by_type("agnews.ModelCard")
    assert [card.custom_properties["model_id"].int_value for card in cards] == [
        model.id for model in store.get_artifacts_by_type("Model")
    ]
    first, worse, _ = [json.loads((Path(card.uri) / "evidence.json").read_text()) for card in cards]
    assert (first["verdicts"]["blessed"], worse["verdicts"]["blessed"]) == (True, False)
    assert "not_available" in first["baseline"]
    assert worse["baseline"]["model"] == first["model"]
    assert worse["baseline"]["test"]["p_value"] < 0.001
    assert f"{first['quality']['repeated_accuracy']:.4f}" in story.first.output
    for evidence, shown in ((first, story.first), (worse, story.worse)):
        assert f"run {evidence['lineage']['run']}" in shown.output


def test_the_review_site_shows_what_changed_and_where_rows_went(story):
    first, worse, _ = [model.id for model in story.workplace.store().get_artifacts_by_type("Model")]
    with serving(settings_of(story.workplace.directory, root="runs")) as client:
        compared = text(client.get(f"/compare?first={first}&second={worse}"))
        data = text(client.get("/spans/1"))
        failed = text(client.get("/runs?status=failed"))
    assert "learning rate 0.005 1e-06" in compared
    assert "Changed data: none" in compared
    assert re.search(r"all rows 500 0\.\d+ 0\.\d+ −\d+\.\d\d −\d.* < 0\.001 worse", compared)
    assert re.search(r"broken 0\.\d{3} → 0\.\d{3} \w", compared)
    assert re.search(rf"{story.first_versions[0]} \D+ model {first}\b", data)
    assert f"model {worse}" in data
    assert "failed ValidationGate" in failed
    assert "failed AgNewsExampleGen" in failed


def test_the_best_values_of_a_search_go_to_the_trainer(story):
    assert story.waiting.states["Tuner"] == story.waiting.states["Trainer"] == "done"
    assert story.waiting.output.count("Tuner: trial done") == 2
    runs = story.workplace.directory / "runs/agnews"
    [best] = runs.glob("Tuner/best_hyperparameters/*/best_hyperparameters.txt")
    values = json.loads(best.read_text())["values"]
    facts = sorted(runs.glob("Trainer/model/*/Format-Serving/assets.extra/training.json"))
    recipe = json.loads(max(facts, key=lambda path: int(path.parts[-4])).read_text())["recipe"]
    assert {name: recipe[name] for name in values} == values


def test_a_run_without_an_approval_ends_before_the_push_with_advice(story):
    assert story.waiting.status == 8
    assert "not pushed yet: waiting for approval: agnews approvals approve" in story.waiting.output
    assert "Traceback" not in story.waiting.output
    assert "AgNewsPusher" not in story.waiting.states
    assert story.versions_while_waiting == story.first_versions


def test_who_trained_it_cannot_approve_it(story):
    assert story.by_author.status == 9
    assert "ann@here trained it" in story.by_author.output


def test_after_the_approval_the_same_run_trains_nothing_and_pushes(story):
    assert story.approved.returncode == 0, story.approved.stderr
    assert story.approved.stderr == ""  # Of TensorFlow's remarks, too.
    assert story.pushed.status == 0
    assert story.pushed.states["Tuner"] == story.pushed.states["Trainer"] == "cached"
    assert story.pushed.states["ApprovalGate"] == story.pushed.states["AgNewsPusher"] == "done"
    assert len(story.pushed_versions) == 2


def test_the_review_site_says_that_no_approval_was_asked_for(story):
    [version] = story.first_versions
    assert "This is the first production version." in story.first_page
    assert "No approval was requested: promotion.require_approval was false." in story.first_page
    assert f"push {version} ann@here blessed; no approval was asked for complete" in story.first_page


def test_the_review_site_answers_a_reviewers_five_questions(story):
    """What data, what code, what evidence, who approved, what changed since the last one: each from the real run."""
    store = story.workplace.store()
    examples = next(one for one in store.get_artifacts_by_type("Examples") if "source" in one.custom_properties)
    [*_, card] = store.get_artifacts_by_type("agnews.ModelCard")
    evidence = json.loads((Path(card.uri) / "evidence.json").read_text())
    said = story.second_page
    first_version, version = story.pushed_versions
    [first_model, *_] = [model.id for model in store.get_artifacts_by_type("Model")]
    assert f"Version {version} , pushed" in said
    assert f"It is model {story.model}" in said
    assert f"source {examples.custom_properties['source'].string_value}" in said
    assert "rows 2,500 read," in said
    assert f"SHA-256 of the rows {evidence['data']['examples']['sha256']}" in said
    assert f"trainer {code_version('trainer')}" in said
    assert f"transform {code_version('transform')}" in said
    assert f"accuracy {evidence['quality']['repeated_accuracy']:.4f}, 95 % interval" in said
    assert "blessed : 10 of 10 thresholds passed" in said
    assert re.search(r"approved 1 of 1, by bob@here \(claimed\).* Author: ann@here", said)
    assert re.search(r"approved by bob@here \(claimed\), 20\d\d-[-\d :]+ UTC: good enough", said)
    assert f"The previous version was {first_version}: model {first_model} ." in said
    assert re.search(rf"Changed settings name model {first_model} model {story.model} .*epochs 3 2 ", said)
    assert "source of trainer" not in said  # The revision may change while this runs; the stages' source does not.
    assert "Changed data: none." in said
    assert re.search(r"all rows 500 0\.\d{4} 0\.\d{4} [+−]\d+\.\d\d [+−]\d", said)
    assert f"push {version} ann@here approved by bob@here (claimed): good enough complete" in said


def test_the_trail_and_what_is_served_are_as_they_were_written(story):
    trail, served = story.verified
    assert "3 entries, as written; 3 known to the metadata store" in trail
    assert all(f"agnews/{version}: as it was pushed" in served for version in story.pushed_versions)


def test_drift_against_the_previous_span_stops_before_transform(story):
    assert story.drifted.status == 4
    assert "split train, feature label" in story.drifted.output
    assert "Transform" not in story.drifted.states
    assert "Traceback" not in story.drifted.output


def test_too_many_bad_rows_stop_the_run_with_their_reasons(story):
    assert story.spoiled.status == 3
    assert "30 of 2530 rows are bad" in story.spoiled.output
    assert "unknown_class 30" in story.spoiled.output
    [line] = [line for line in story.spoiled.output.splitlines() if line.startswith("The log is ")]
    assert os.path.exists(line.removeprefix("The log is "))


def test_stopped_runs_leave_the_last_pushed_model_in_place(story):
    assert story.last_versions == story.pushed_versions
    assert story.workplace.leftovers == []


def test_the_runs_as_openlineage_events_have_rows_verdicts_and_a_push(story):
    output = story.workplace.agnews("export", "openlineage", "--to", "events.jsonl", "--profile", "sample")
    events = [json.loads(line) for line in (story.workplace.directory / "events.jsonl").read_text().splitlines()]
    assert output.startswith(f"{len(events)} events")
    names = {name for event in events for name, _ in facets(event)}
    assert names >= {"outputStatistics", "dataQualityMetrics", "dataQualityAssertions", "errorMessage"}
    ends = [event["eventType"] for event in events if event["job"]["name"] == "agnews"][1::2]
    assert ends == ["COMPLETE"] * 3 + ["FAIL", "COMPLETE", "FAIL", "FAIL"]
    [first, *_] = [event for event in events if event["job"]["name"] == "agnews.AgNewsExampleGen" and event["outputs"]]
    assert first["inputs"][0]["name"] == str(story.workplace.directory / "data")
    assert first["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2500
    pushed = [one for event in events for one in event["outputs"] if one["name"].endswith("/serving_model/agnews")]
    assert pushed[0]["facets"]["version"]["datasetVersion"] == story.first_versions[0]


def test_the_technical_file_has_the_evidence_and_names_what_is_missing(story):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    [version] = story.first_versions
    output = story.workplace.agnews("dossier", version, "--to", "dossier", "--profile", "sample")
    place = story.workplace.directory / "dossier"
    items = {item["reference"]: item for item in json.loads((place / "dossier.json").read_text())["items"]}
    assert len(items) == 21
    missing = [reference for reference, item in items.items() if item["missing"]]
    assert f"text is missing in {len(missing)} of 21 items:" in output
    assert {"5", "7", "8", "9", "2(e)"} <= set(missing)
    assert {"1(a)", "1(c)", "2(b)", "2(g)", "3", "6"}.isdisjoint(missing)
    [accuracy] = re.findall(r"^all rows +500 +(0\.\d{4})", story.first.output, re.MULTILINE)
    assert f"Accuracy on 500 test rows: {accuracy}" in items["2(g)"]["answers"][0]
    assert any(f"push {version} by " in line for line in items["6"]["answers"])
    page = (place / "dossier.html").read_text()
    assert "By Annex IV" in page
    assert "http://" not in page.replace("http://groups.di.unipi.it", "")
    bom = (place / "ml-bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    packages = {part["name"] for part in json.loads(bom)["components"]}
    assert {"tensorflow", "tfx"} <= packages


@pytest.fixture(scope="module")
def cleaned(story):
    """What `agnews clean` says after all these runs, of which the last one is kept."""
    return story.workplace.agnews("clean", "--keep-runs", "1", "--older-than", "0", "--profile", "sample")


def test_cleaning_keeps_pushed_models_and_removes_the_one_not_blessed(story, cleaned):
    first, worse, _ = story.workplace.store().get_artifacts_by_type("Model")
    assert os.path.exists(first.uri)
    assert not os.path.exists(worse.uri)
    assert f"kept: model {first.id}, " in cleaned
    verified = story.workplace.agnews("versions", "verify", "serving_model")
    assert all(version in verified for version in story.last_versions)


def test_after_cleaning_the_site_and_a_repetition_name_the_date(story, cleaned):
    _, worse, _ = story.workplace.store().get_artifacts_by_type("Model")
    today = datetime.now(UTC).date().isoformat()
    with serving(settings_of(story.workplace.directory, root="runs")) as client:
        assert f"(removed on {today})" in text(client.get(f"/lineage/{worse.id}"))
        assert client.get(f"/models/{worse.id}").status_code == 200
    with pytest.raises(subprocess.CalledProcessError) as error:
        story.workplace.agnews("reproduce", str(worse.id), "--profile", "sample")
    assert f"removed on {today}" in error.value.output
