"""Metadata in a real PostgreSQL server: two pipelines start at once on an empty database, then one runs again."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.postgresql import DATABASE

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3600)]

# So few rows teach little, and these runs are not about accuracy.
SETTINGS = """
trainer: {epochs: 1, embedding_dim: 16, units: 8, batch_tokens: 1000}
evaluator: {min_accuracy: 0.1, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}
model_card: {robustness_rows: 20}
"""


@pytest.fixture(scope="module")
def story(workplace, metadata_server):
    workplace.make_data("data", rows=400)
    (workplace.directory / "agnews.yaml").write_text(SETTINGS)
    (workplace.directory.parent / "password").write_text(metadata_server.password + "\n")
    workplace.environment |= {
        "AGNEWS_METADATA__BACKEND": "postgresql",
        "AGNEWS_METADATA__HOST": "127.0.0.1",
        "AGNEWS_METADATA__PORT": str(metadata_server.port),
        "AGNEWS_METADATA__DATABASE": DATABASE,
        "AGNEWS_METADATA__USER": "agnews",
        "AGNEWS_METADATA__PASSWORD": metadata_server.password,
    }
    results = SimpleNamespace(workplace=workplace)
    first, other = workplace.start(*named("first")), start_with_password_file(workplace, *named("other"))
    results.outputs = [process.communicate(timeout=900)[0] for process in (first, other)]
    results.statuses = [first.returncode, other.returncode]
    print(*results.outputs)  # noqa: T201 - pytest shows it when a test fails
    results.again = workplace.run(*named("first"), "--set", "trainer.learning_rate=0.02")
    results.outputs.append(results.again.output)
    command = [sys.executable, "-m", "pipeline", "approvals", "list", *named("first")]
    results.approvals = subprocess.run(
        command, cwd=workplace.directory, env=workplace.environment, capture_output=True, text=True, check=True
    )
    results.refused = workplace.run(*named("first"), "--set", "metadata.password=wrong-one")
    return results


def named(name):
    settings = [f"pipeline.name={name}", f"pipeline.root=runs-{name}", f"pusher.destination=serving-{name}"]
    return [word for setting in settings for word in ("--set", setting)]


def start_with_password_file(workplace, *arguments):
    environment = dict(workplace.environment)
    workplace.environment["AGNEWS_METADATA__PASSWORD_FILE"] = str(workplace.directory.parent / "password")
    del workplace.environment["AGNEWS_METADATA__PASSWORD"]
    try:
        return workplace.start(*arguments)
    finally:
        workplace.environment = environment


def versions(workplace, name):
    """Numbers of the versions, the oldest first."""
    places = (workplace.directory / f"serving-{name}/agnews").iterdir()
    return sorted(place.name for place in places if place.name.isdecimal())


def artifacts(store, name, kind):
    """A pipeline's artifacts of a type, oldest first."""
    context = store.get_context_by_type_and_name("pipeline", name)
    return sorted((a for a in store.get_artifacts_by_context(context.id) if a.type == kind), key=lambda a: a.id)


def ancestors(store, artifact):
    """The ids of all that an artifact was made from."""
    found, ahead = set(), [artifact.id]
    while ahead:
        made_by = [e.execution_id for e in store.get_events_by_artifact_ids(ahead) if e.type == e.OUTPUT]
        inputs = {e.artifact_id for e in store.get_events_by_execution_ids(made_by) if e.type == e.INPUT}
        ahead = list(inputs - found)
        found |= inputs
    return found


def test_two_pipelines_start_at_once_on_an_empty_database_and_both_push(story):
    assert story.statuses == [0, 0]
    for name, output in zip(("first", "other"), story.outputs[:2], strict=True):
        assert f"pushed as version {versions(story.workplace, name)[0]}" in output
    assert not list(story.workplace.directory.rglob("metadata.sqlite"))


def test_the_second_run_is_compared_with_its_own_pipelines_first_model(story, store):
    assert story.again.status == 0
    first_model, second_model = artifacts(store, "first", "Model")
    blessings = artifacts(store, "first", "ModelBlessing")
    assert blessings[1].custom_properties["current_model_id"].int_value == second_model.id
    assert blessings[1].custom_properties["baseline_model_id"].int_value == first_model.id
    [other] = artifacts(store, "other", "ModelBlessing")
    assert "baseline_model_id" not in other.custom_properties


def test_what_has_not_changed_comes_from_the_cache(story):
    states = story.again.states
    assert {states[name] for name in ("AgNewsExampleGen", "StatisticsGen", "Transform")} == {"cached"}
    assert states["Trainer"] == "done"


def test_a_pushed_version_leads_back_to_its_rows_and_to_no_other_pipelines(story, store):
    [*_, pushed] = artifacts(store, "first", "PushedModel")
    ids = ancestors(store, pushed)
    assert {a.id for a in artifacts(store, "first", "Examples") if "rows_read" in a.custom_properties} & ids
    assert artifacts(store, "first", "Model")[1].id in ids
    assert not {a.id for kind in ("Examples", "Model") for a in artifacts(store, "other", kind)} & ids


def test_a_command_prints_nothing_about_its_connection_to_the_server(story):
    assert story.approvals.stdout.startswith("No model is waiting for approval.")
    assert story.approvals.stderr == ""


def test_a_wrong_password_is_refused_without_being_shown(story):
    assert story.refused.status == 5
    assert "the metadata store cannot be opened: postgresql database 'metadata' at 127.0.0.1:" in story.refused.output
    assert "Traceback" not in story.refused.output
    assert "wrong-one" not in story.refused.output


def test_the_password_is_in_no_file_no_output_and_not_in_the_database(story, metadata_server):
    secret = metadata_server.password.encode()
    assert [str(p) for p in story.workplace.directory.rglob("*") if p.is_file() and secret in p.read_bytes()] == []
    assert [output for output in story.outputs if metadata_server.password in output] == []
    dump = metadata_server.dump(DATABASE)
    assert "PushedModel" in dump
    assert metadata_server.password not in dump
