"""Runs and versions reach an MLflow tracking server once, with their values."""

from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from benchmarks.review_store import SimulatedStore
from pipeline.cli.export import export
from pipeline.exports.mlflow import Exported, TrackingServer
from pipeline.exports.tracked_runs import tracked_runs
from pipeline.metadata.store_reader import StoreReader
from schema.errors import DataError, RunError, SettingsError
from schema.metadata import MODEL_CARD
from tests.support.small_run import set_options
from tests.support.tracking_server import MLFLOW, MLFLOW_ACCOUNT, mlflow_server, stand_in


@pytest.fixture(scope="module")
def snapshot(simulated):
    return StoreReader(simulated.connection).snapshot()


@pytest.fixture
def tracking():
    with stand_in() as server:
        yield server


@pytest.fixture(scope="module")
def real_server(tmp_path_factory):
    assert MLFLOW.exists(), "run scripts/setup.sh mlflow"
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


def export_to(address, snapshot, *names):
    with TrackingServer(address) as server:
        return server.export(tracked_runs(snapshot, names), "news", "agnews")


def ask(address, path, **content):
    return httpx.post(f"{address}/api/2.0/mlflow/{path}", json=content, timeout=30).json()


def records_of(address):
    """Returns the server's records of the experiment's runs by name."""
    query = {"experiment_name": "news"}
    found = httpx.get(f"{address}/api/2.0/mlflow/experiments/get-by-name", params=query, timeout=30).json()
    content, runs = {"experiment_ids": [found["experiment"]["experiment_id"]]}, []
    while True:
        page = ask(address, "runs/search", **content)
        runs += page["runs"]
        if not page.get("next_page_token"):
            break
        content["page_token"] = page["next_page_token"]
    records = {run["info"]["run_name"]: run for run in runs}
    assert len(records) == len(runs)
    return records


def runs_of(address):
    """Returns status, parameters, tags and metrics of the experiment's runs by name."""
    return {
        name: (
            run["info"]["status"],
            *(
                {one["key"]: one["value"] for one in run["data"].get(kind, ())}
                for kind in ("params", "tags", "metrics")
            ),
        )
        for name, run in records_of(address).items()
    }


def versions_of(address):
    found = httpx.get(f"{address}/api/2.0/mlflow/model-versions/search", timeout=30).json()["model_versions"]
    return [{one["key"]: one["value"] for one in version["tags"]}["agnews.version"] for version in found]


def check_export(address, snapshot, simulated):
    """Exports some runs, then all of them twice, and checks what the server has."""
    assert export_to(address, snapshot, "local-000000", "local-000007") == Exported(2, 0, 1)
    assert export_to(address, snapshot) == Exported(8, 2, 4)
    assert export_to(address, snapshot) == Exported(0, 10, 0)
    runs = runs_of(address)
    assert [status for status, *_ in map(runs.get, sorted(runs))] == ["FINISHED"] * 7 + ["FAILED"] * 2 + ["FINISHED"]
    _, parameters, tags, metrics = runs["local-000003"]
    assert parameters["trainer.units"] == "16"
    assert tags["agnews.run"] == "local-000003"
    assert tags["agnews.blessed"] == "true"
    assert 0.5 < metrics["test_accuracy"] < 1
    assert metrics["val_accuracy"] > 0
    assert runs["local-000005"][1] == runs["local-000005"][3] == {}
    assert runs["local-000005"][2]["agnews.trained_in"] == "local-000004"
    assert sorted(versions_of(address)) == sorted(str(version) for version, _ in simulated.pushed)


def test_an_export_writes_each_run_and_version_once(tracking, snapshot, simulated):
    check_export(tracking.address, snapshot, simulated)


@pytest.mark.mlflow
def test_mlflow_itself_takes_each_run_and_version_once(real_server, snapshot, simulated):
    check_export(real_server, snapshot, simulated)
    before = runs_of(real_server)["local-000003"]
    run_id = records_of(real_server)["local-000003"]["info"]["run_id"]
    # As after an export that broke at the end.
    ask(real_server, "runs/set-tag", run_id=run_id, key="agnews.exported", value="")
    assert export_to(real_server, snapshot) == Exported(1, 9, 0)
    assert runs_of(real_server)["local-000003"] == before
    query = {"run_id": run_id, "metric_key": "val_accuracy"}
    history = httpx.get(f"{real_server}/api/2.0/mlflow/metrics/get-history", params=query, timeout=30).json()["metrics"]
    [run] = tracked_runs(snapshot, ["local-000003"])
    values = [(one.step, one.value) for one in run.metrics if one.name == "val_accuracy"]
    assert [(one["step"], one["value"]) for one in history] == values
    assert len(values) > 1


@pytest.mark.mlflow
def test_mlflow_with_a_log_in_takes_runs_of_a_known_account_alone(tmp_path, snapshot, monkeypatch):
    with mlflow_server(tmp_path, "--app-name", "basic-auth") as address:
        with pytest.raises(RunError, match=r"refused experiments/get-by-name with status 401 .* log-in in \$MLFLOW_TR"):
            export_to(address, snapshot, "local-000003")
        for name, value in MLFLOW_ACCOUNT.items():
            monkeypatch.setenv(name, value)
        assert export_to(address, snapshot, "local-000003") == Exported(1, 0, 1)
        assert export_to(address, snapshot, "local-000003") == Exported(0, 1, 0)


def test_a_damaged_card_is_an_error_and_a_deleted_one_leaves_no_metrics(snapshot):
    [run] = [one for one in snapshot.runs.values() if one.name == "local-000003"]
    outputs = [link.artifact for one in snapshot.executions_of(run.id) for link in snapshot.outputs(one.id)]
    [place] = [snapshot.artifacts[one].uri for one in outputs if snapshot.artifacts[one].type == MODEL_CARD]
    card = Path(place) / "evidence.json"
    content = card.read_bytes()
    try:
        card.write_bytes(content[:100])
        with pytest.raises(DataError, match=r"evidence\.json is not JSON"):
            list(tracked_runs(snapshot, [run.name]))
        card.unlink()
        assert [one.metrics for one in tracked_runs(snapshot, [run.name])] == [()]
    finally:
        card.write_bytes(content)


def test_an_export_that_broke_is_completed_by_the_next(tracking, snapshot):
    tracking.fail.add("runs/update")
    with pytest.raises(
        RunError, match=r"127\.0\.0\.1 refused runs/update with status 400 \(PERMISSION_DENIED: refused\)"
    ):
        export_to(tracking.address, snapshot, "local-000003")
    tracking.fail.clear()
    assert export_to(tracking.address, snapshot, "local-000003") == Exported(1, 0, 1)
    assert runs_of(tracking.address)["local-000003"][0] == "FINISHED"


def test_a_run_that_has_ended_since_is_updated(tracking, tmp_path):
    made = SimulatedStore(tmp_path / "store", files=1, test_rows=8)
    made.add_runs(8)
    run = made.store.get_context_by_type_and_name("pipeline_run", "local-000007")
    [failed] = [one for one in made.store.get_executions_by_context(run.id) if one.last_known_state == one.FAILED]
    failed.last_known_state = failed.RUNNING
    made.store.put_executions([failed])
    export_to(tracking.address, StoreReader(made.connection).snapshot())
    assert runs_of(tracking.address)["local-000007"][0] == "RUNNING"
    failed.last_known_state = failed.FAILED
    made.store.put_executions([failed])
    assert export_to(tracking.address, StoreReader(made.connection).snapshot()) == Exported(1, 7, 0)
    assert runs_of(tracking.address)["local-000007"][0] == "FAILED"


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "x"}, "Basic YW5uOng="),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
    ],
)
def test_the_log_in_is_that_of_mlflows_client(tracking, snapshot, monkeypatch, environment, header):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    export_to(tracking.address, snapshot, "local-000007")
    assert {sent for *_, sent in tracking.requests} == {header}


def test_no_server_is_one_message_without_the_password(snapshot):
    with pytest.raises(RunError) as refused:
        export_to("http://ann:secret@127.0.0.1:9", snapshot)
    assert "127.0.0.1 cannot be reached, or is no tracking server (ConnectError)" in str(refused.value)
    assert "secret" not in str(refused.value)


def run_export(simulated, *arguments):
    options = set_options({"pipeline.root": str(simulated.root)})
    return CliRunner().invoke(export, ["mlflow", *options, *arguments])


def test_the_command_says_what_it_wrote(simulated, tracking, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.address)
    result = run_export(simulated)
    assert result.output == "10 runs written, 0 unchanged, 5 versions registered\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no address: use --to http://HOST:PORT, or set MLFLOW_TRACKING_URI"),
        (["--to", "sqlite:///x.db"], "sqlite:///x.db: use --to http://HOST:PORT"),
        (["--to", "http://127.0.0.1:9", "--run", "yesterday"], "--run yesterday: the metadata store has no such run"),
    ],
)
def test_a_mistake_is_one_message(simulated, arguments, message):
    error = run_export(simulated, *arguments).exception
    assert isinstance(error, SettingsError)
    assert message in str(error)
