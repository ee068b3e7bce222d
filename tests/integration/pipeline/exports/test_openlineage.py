"""Runs become OpenLineage events, and a server receives them."""

import json
import sys

import pytest
from click.testing import CliRunner
from openlineage.client.serde import Serde

from benchmarks.review_store import SimulatedStore
from pipeline.cli.export import export
from pipeline.exports.data_sets import name_data_set
from pipeline.exports.openlineage import run_events, send
from pipeline.metadata.graph import component_id
from pipeline.metadata.store_reader import StoreReader
from schema.errors import ApprovalPending, DataError, NothingToTrain, RunError, SettingsError
from schema.metadata import FAILURE, FAILURE_STATUS, NODE_CONTEXT, RUN_CONTEXT
from tests.support.openlineage import check_event, facets
from tests.support.small_run import set_options


def events_of(store, *names):
    reader = StoreReader(store.connection)
    return [Serde.to_dict(event) for event in run_events(reader, "agnews", "tests", names)]


@pytest.fixture(scope="session")
def events(simulated):
    return events_of(simulated)


def job_states(events, job):
    """Returns the states of a job's runs, by the name of the pipeline's run, in order."""
    found = {}
    for event in events:
        if event["job"]["name"] == job:
            tags = {tag["key"]: tag["value"] for tag in event["run"]["facets"]["tags"]["tags"]}
            found.setdefault(tags["run"], []).append(event["eventType"])
    return found


def complete(events, job, run="local-000000"):
    [found] = [
        event
        for event in events
        if event["job"]["name"] == job and event["eventType"] == "COMPLETE" and {"run", run} <= tag_words(event)
    ]
    return found


def tag_words(event):
    return {word for tag in event["run"]["facets"]["tags"]["tags"] for word in (tag["key"], tag["value"])}


@pytest.mark.openlineage
def test_the_published_schemas_allow_each_event(events):
    for event in events:
        check_event(event)


def test_runs_data_sets_and_verdicts_have_their_facets(events):
    names = {name for event in events for name, _ in facets(event)}
    assert names >= {"parent", "jobType", "tags", "version", "schema", "datasetType", "dataSource", "errorMessage"}
    assert names >= {"dataQualityMetrics", "dataQualityAssertions"}


def test_each_run_starts_and_ends_with_its_outcome(events):
    states = list(job_states(events, "agnews").values())
    assert states == [["START", "COMPLETE"]] * 7 + [["START", "FAIL"]] * 2 + [["START", "COMPLETE"]]


def test_components_name_their_run_as_parent(events):
    runs = {event["run"]["runId"]: event["job"] for event in events if event["job"]["name"] == "agnews"}
    assert len(runs) == 10
    for event in events:
        if event["job"]["name"] != "agnews":
            parent = event["run"]["facets"]["parent"]
            assert parent["job"]["name"] == "agnews"
            assert parent["run"]["runId"] in runs


def test_a_second_export_sends_the_same_events(simulated, events):
    assert events_of(simulated) == events


def test_the_id_of_each_try_is_its_own(events):
    started = [event["run"]["runId"] for event in events if event["eventType"] == "START"]
    assert len(set(started)) == len(started)


def test_one_run_can_be_exported(simulated, events):
    chosen = events_of(simulated, "local-000003")
    assert chosen == [event for event in events if "local-000003" in tag_words(event)]
    assert chosen


def test_data_sets_connect_the_components(events):
    def names(data_sets):
        return {(one["namespace"], one["name"], one["facets"]["version"]["datasetVersion"]) for one in data_sets}

    rows = complete(events, "agnews.AgNewsExampleGen")["outputs"]
    assert names(rows) <= names(complete(events, "agnews.Transform")["inputs"])
    model = [one for one in complete(events, "agnews.Trainer")["outputs"] if "Model" in str(one["facets"])]
    assert names(model[:1]) <= names(complete(events, "agnews.AgNewsPusher")["inputs"])


def test_rows_have_counts_columns_and_measured_values(events):
    [rows] = complete(events, "agnews.AgNewsExampleGen")["outputs"]
    columns = {field["name"]: field["type"] for field in rows["facets"]["schema"]["fields"]}
    assert columns["title"] == "string"
    assert columns["label"] == "int64"
    [measured] = [
        one["inputFacets"]["dataQualityMetrics"]
        for one in complete(events, "agnews.StatisticsGen")["inputs"]
        if "dataQualityMetrics" in one["inputFacets"]
    ]
    assert measured["rowCount"] > 0
    assert measured["columnMetrics"]["label"]["nullCount"] == 0


def test_a_pushed_model_is_a_version_and_a_refused_one_is_none(events):
    [pushed] = complete(events, "agnews.AgNewsPusher")["outputs"]
    assert pushed["facets"]["version"]["datasetVersion"] == "1700000000"
    assert pushed["facets"]["datasetType"]["datasetType"] == "MODEL"
    assert complete(events, "agnews.AgNewsPusher", "local-000009")["outputs"] == []


def test_the_verdict_is_about_the_model_and_not_its_baseline(events):
    inputs = complete(events, "agnews.Evaluator", "local-000006")["inputs"]
    verdicts = [one["inputFacets"].get("dataQualityAssertions") for one in inputs if "Model" in str(one["facets"])]
    assert len(verdicts) == 2
    [verdict] = filter(None, verdicts)
    assert [(one["assertion"], one["success"]) for one in verdict["assertions"]] == [("ModelBlessing", False)]


def test_cached_components_are_tagged(events):
    assert {"cached", "true"} <= tag_words(complete(events, "agnews.Trainer", "local-000005"))
    assert "true" not in tag_words(complete(events, "agnews.Trainer", "local-000004"))


@pytest.mark.parametrize(
    ("status", "run_state", "message"),
    [
        (None, "FAIL", True),
        (3, "FAIL", True),
        (ApprovalPending.exit_code, "ABORT", False),
        (NothingToTrain.exit_code, "COMPLETE", False),
    ],
)
def test_the_exit_status_decides_how_a_run_ended(tmp_path, status, run_state, message):
    made = SimulatedStore(tmp_path / "store", files=1, test_rows=8)
    made.add_runs(8)
    run = made.store.get_context_by_type_and_name(RUN_CONTEXT, "local-000007")
    [failed] = [one for one in made.store.get_executions_by_context(run.id) if one.last_known_state == one.FAILED]
    failed.custom_properties[FAILURE].string_value = "too many bad rows%5C"
    if status is not None:
        failed.custom_properties[FAILURE_STATUS].int_value = status
    made.store.put_executions([failed])
    *_, component, end = events_of(made, "local-000007")
    assert component["job"]["name"] == f"agnews.{component_id(made.store, failed.id)}"
    assert (component["eventType"], end["eventType"]) == (run_state, run_state)
    for event in (component, end):
        assert ("errorMessage" in event["run"]["facets"]) == message
        if message:
            assert "too many bad rows\\" in event["run"]["facets"]["errorMessage"]["message"]


def test_a_second_try_is_another_run_and_decides_the_outcome(tmp_path):
    made = SimulatedStore(tmp_path / "store", files=1, test_rows=8)
    made.add_runs(1)
    run = made.store.get_context_by_type_and_name(RUN_CONTEXT, "local-000000")
    first = made.store.get_executions_by_context(run.id)[-1]
    [node] = [one for one in made.store.get_contexts_by_execution(first.id) if one.type == NODE_CONTEXT]
    first.last_known_state = first.FAILED
    made.store.put_executions([first])
    assert events_of(made)[-1]["eventType"] == "FAIL"
    again = type(first)(type_id=first.type_id, last_known_state=first.COMPLETE)
    made.store.put_execution(again, [], [run, node])
    events = events_of(made)
    assert events[-1]["eventType"] == "COMPLETE"
    assert len({event["run"]["runId"] for event in events if event["job"]["name"] == node.name}) == 2


def test_a_running_run_has_no_end_yet(tmp_path):
    made = SimulatedStore(tmp_path / "store", files=1, test_rows=8)
    made.add_runs(8)
    run = made.store.get_context_by_type_and_name(RUN_CONTEXT, "local-000007")
    [failed] = [one for one in made.store.get_executions_by_context(run.id) if one.last_known_state == one.FAILED]
    failed.last_known_state = failed.RUNNING
    made.store.put_executions([failed])
    events = events_of(made, "local-000007")
    assert job_states(events, "agnews") == {"local-000007": ["START"]}
    assert events[-1]["eventType"] == "START"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/srv/my runs/agnews", ("file", "/srv/my runs/agnews")),
        ("file:///srv/runs", ("file", "/srv/runs")),
        ("s3://bucket/runs/agnews", ("s3://bucket", "runs/agnews")),
        ("s3a://bucket/runs", ("s3://bucket", "runs")),
        ("gs://bucket/runs", ("gs://bucket", "runs")),
        ("hdfs://host:9000/runs", ("hdfs://host:9000", "/runs")),
        ("hdfs://host/runs", ("hdfs://host:8020", "/runs")),
        ("abfss://container@account/runs", ("abfss://container@account", "runs")),
        ("s3://bucket", ("s3://bucket", "/")),
    ],
)
def test_names_of_data_sets_follow_the_naming_rules(uri, name):
    assert name_data_set(uri) == name


def test_a_server_receives_the_events(simulated, events, http_sink, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "a-key")
    with http_sink() as server:
        count = send(run_events(StoreReader(simulated.connection), "agnews", "tests"), server.url)
        received = [json.loads(body) for body in server.bodies]
    assert count == len(received) == len(events)
    for event, sent in zip(received, events, strict=True):
        # The client adds a tag with its version.
        assert (event["run"]["runId"], event["eventType"]) == (sent["run"]["runId"], sent["eventType"])
        assert (event["inputs"], event["outputs"]) == (sent["inputs"], sent["outputs"])


def test_a_server_that_refuses_is_an_error_without_the_password(simulated, http_sink):
    events = run_events(StoreReader(simulated.connection), "agnews", "tests")
    with http_sink(200, 403) as server, pytest.raises(RunError) as refused:
        send(events, server.url.replace("http://", "http://ann:secret@"))
    assert "127.0.0.1 did not accept event 2 (status 403" in str(refused.value)
    assert "secret" not in str(refused.value)


def run_export(simulated, *arguments):
    options = set_options({"pipeline.root": str(simulated.root)})
    return CliRunner().invoke(export, ["openlineage", *options, *arguments])


def test_the_command_replaces_a_file_of_json_lines(simulated, events, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text("of yesterday")
    result = run_export(simulated, "--to", str(file), "--namespace", "tests")
    assert result.exit_code == 0, result.output
    assert [json.loads(line) for line in file.read_text().splitlines()] == events
    assert result.output == f"{len(events):,} events: {file}\n"


def test_the_client_reads_its_own_configuration(simulated, http_sink, monkeypatch):
    with http_sink() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url.removesuffix("/secret-part"))
        # The client copies the variable to others.
        for name in ("TYPE", "URL"):
            monkeypatch.setenv(f"OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__{name}", "")
            monkeypatch.delenv(f"OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__{name}")
        result = run_export(simulated, "--run", "local-000000")
        assert len(server.bodies) == 28
    assert result.output == "28 events sent\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "use --to FILE, --to URL, or set OPENLINEAGE_URL"),
        ([], {"OPENLINEAGE_DISABLED": "true"}, "OPENLINEAGE_DISABLED is true"),
        (["--run", "yesterday", "--to", "x"], {}, "--run yesterday: the metadata store has no such run"),
        (["--to", "nowhere/x"], {}, "--to nowhere/x: No such file or directory"),
    ],
)
def test_a_mistake_is_one_message(simulated, monkeypatch, arguments, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    error = run_export(simulated, *arguments).exception
    assert isinstance(error, SettingsError)
    assert message in str(error)


@pytest.mark.parametrize("arguments", [["openlineage", "--to", "x"], ["mlflow", "--to", "http://127.0.0.1:9"]])
def test_a_place_without_a_store_is_an_error_and_is_not_made(tmp_path, arguments):
    error = CliRunner().invoke(export, [*arguments, *set_options({"pipeline.root": "empty"})]).exception
    assert isinstance(error, DataError)
    assert f"there is no metadata store in {tmp_path}/empty" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_the_missing_package_is_named(simulated, monkeypatch):
    monkeypatch.delitem(sys.modules, "pipeline.exports.openlineage")
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    error = run_export(simulated, "--to", "x").exception
    assert isinstance(error, SettingsError)
    assert "install agnews-pipeline[lineage]" in str(error)
