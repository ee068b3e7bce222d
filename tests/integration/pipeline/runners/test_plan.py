"""Tests the plan, which orchestrators read."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from components.example_gen.sources import DataSource
from pipeline.cli.init import init
from pipeline.cli.plan import plan as plan_command
from pipeline.dag import create_pipeline
from pipeline.runners import local
from pipeline.runners.events import State
from pipeline.runners.plan import make_plan
from pipeline.settings import Settings
from schema.errors import AgNewsError, SettingsError, exit_statuses
from tests.support import ROOT
from tests.support.own_data import write_tickets


@pytest.fixture
def settings(tmp_path):
    def settings(**sections):
        return Settings.model_validate({"pipeline": {"root": str(tmp_path / "runs")}} | sections)

    return settings


def test_a_plan_names_each_component_after_those_that_it_waits_for(settings):
    seen = set()
    for component, waits_for in make_plan(settings())["components"].items():
        assert set(waits_for) <= seen
        seen.add(component)
    assert "ValidationGate" in make_plan(settings())["components"]["Transform"]


def test_one_component_begins_a_run_and_all_others_wait(settings):
    components = make_plan(settings())["components"]
    assert [component for component, waits_for in components.items() if not waits_for] == ["AgNewsExampleGen"]


def test_what_others_wait_for_already_is_not_repeated(settings):
    components = make_plan(settings())["components"]
    assert components["Trainer"] == ["Transform"]
    assert components["AgNewsPusher"] == ["AgNewsInfraValidator", "Evaluator", "ModelCardGen"]
    assert components["ImportSchemaGen"] == ["AgNewsExampleGen"]


def test_the_picture_in_the_documentation_has_the_graph_of_the_plan(settings):
    picture = (ROOT / "docs/images/dag.svg").read_text()
    waits = re.findall(r"(\w+) waits for ([\w ]+)", picture)
    assert {name: [one for one in names.split(" and ") if one != "nothing"] for name, names in waits} == (
        make_plan(settings())["components"]
    )
    assert picture.count('class="arrow thin"') == 3


def test_the_plan_follows_the_settings(settings):
    plan = make_plan(settings(tuner={"enabled": True}, promotion={"require_approval": True}))
    assert "Tuner" in plan["components"]["Trainer"]
    assert plan["training"] == ["Tuner", "Trainer"]
    assert plan["approval"] == "RequestApproval"
    assert make_plan(settings())["approval"] is None


@pytest.mark.parametrize("pattern", ["{SPAN}", "{YYYY}-{MM}-{DD}", "all"])
def test_the_plan_says_whether_rows_come_in_spans(settings, pattern):
    data = {"path": "/data", "train_pattern": f"{pattern}/train.csv", "test_pattern": f"{pattern}/test.csv"}
    plan = make_plan(settings(data=data))
    assert plan["orchestrator"]["dated"] == ("WindowResolver" in plan["components"]) == (pattern != "all")


def test_the_order_is_that_of_the_local_runner(settings, tmp_path, monkeypatch):
    order = []

    def record(ir, component, connection, log):
        order.append(component)
        return SimpleNamespace(state=State.DONE)

    monkeypatch.setattr(local, "run_component", record)
    given = settings(promotion={"require_approval": True})
    watcher = SimpleNamespace(
        run_began=lambda upstream: None, component_changed=lambda event: None, progressed=lambda event: None
    )
    source = DataSource("/data", "train.csv", "test.csv", "path")
    local.run(create_pipeline(given, source), "local-1", tmp_path / "runs", watcher)
    assert list(make_plan(given)["components"]) == order


def test_a_plan_touches_neither_data_nor_metadata_store(settings, tmp_path):
    postgresql = {"backend": "postgresql", "host": "none.invalid", "port": 1, "database": "d", "user": "u"}
    secret = {"password_file": str(tmp_path / "not-here")}
    make_plan(settings(data={"path": str(tmp_path / "no-data")}, metadata=postgresql | secret))
    make_plan(settings())
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_same_plan_each_time_with_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agnews.yaml").write_text("trainer: {epochs: 2}\nalerts: {mail_to: [ann@example.com]}\n")
    monkeypatch.setenv("AGNEWS_TUNER__ENABLED", "true")
    monkeypatch.setenv("AGNEWS_METADATA__PASSWORD", "hush-hush")
    options = ["--profile", "sample", "--data", "data", "--set", "airflow.retries=7"]
    first, second = (CliRunner().invoke(plan_command, options) for _ in range(2))
    assert first.stdout == second.stdout
    plan = json.loads(first.stdout)
    assert plan["options"] == [
        *("--profile", "sample"),
        *("--set", f"data.path={tmp_path}/data"),
        *("--set", "tuner.enabled=true"),
        *("--set", "trainer.epochs=2"),
        *("--set", 'alerts.mail_to=["ann@example.com"]'),
    ]
    assert Path(plan["command"][0]).name == "agnews"
    assert plan["directory"] == str(tmp_path)
    assert "Tuner" in plan["components"]
    assert plan["orchestrator"]["retries"] == 7
    assert "hush-hush" not in first.stdout


@pytest.mark.parametrize(("place", "path"), [("ag_news", "{here}/ag_news"), ("gs://bucket/news", "gs://bucket/news")])
def test_the_plan_passes_on_the_directory_of_the_data(tmp_path, monkeypatch, place, path):
    """A task does not have the variables of the person who made the plan."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AG_NEWS_DIR", place)
    ended = CliRunner().invoke(plan_command, ["--profile", "sample"])
    assert json.loads(ended.stdout)["options"][-2:] == ["--set", f"data.path={path.format(here=tmp_path)}"]


def test_files_that_a_settings_file_names_are_absolute_in_a_plan(tmp_path, monkeypatch):
    write_tickets(tmp_path / "tickets.csv", rows=60)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(init, ["own", "--from", "tickets.csv"]).exit_code == 0
    result = CliRunner().invoke(plan_command, ["--config", "own/agnews.yaml"], catch_exceptions=False)
    options = json.loads(result.stdout)["options"]
    assert f"data.schema_file={tmp_path}/own/schema.pbtxt" in options
    assert f"model_card.owner_file={tmp_path}/own/model_card.yaml" in options


def test_a_plan_for_pods_names_only_places_that_they_share():
    """The tasks of Airflow run in pods of the same volume as those of Kubeflow."""
    pods = ["--profile", "kubeflow", "--set", "airflow.tasks=pod"]
    assert CliRunner().invoke(plan_command, pods).exit_code == 0
    ended = CliRunner().invoke(plan_command, [*pods, "--set", "pipeline.root=/runs"])
    assert isinstance(ended.exception, SettingsError)
    assert "pipeline.root /runs is on the disk of a pod" in str(ended.exception)


def test_a_secret_in_a_flag_is_refused():
    ended = CliRunner().invoke(plan_command, ["--set", "metadata.password=secret-one"])
    assert isinstance(ended.exception, SettingsError)
    assert "secret-one" not in str(ended.exception)


def test_a_plan_is_written_to_a_file(tmp_path):
    ended = CliRunner().invoke(plan_command, ["--profile", "sample", "--output", str(tmp_path / "plan.json")])
    assert ended.exit_code == 0, ended.output
    assert json.loads((tmp_path / "plan.json").read_text())["pipeline"] == "agnews"


def test_the_statuses_do_not_depend_on_what_was_imported():
    before = exit_statuses()

    class ErrorOfAnotherModule(AgNewsError):
        exit_code = 99

    assert ErrorOfAnotherModule in AgNewsError.__subclasses__()
    assert exit_statuses() == before
