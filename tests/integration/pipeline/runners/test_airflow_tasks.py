"""Tests the functions that do not need Airflow; tests/e2e/test_airflow.py tests a real Airflow."""

import io
import json
from datetime import date
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.connection import connection_config
from pipeline.runners.airflow import tasks as airflow_tasks
from pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path):
    def settings(**sections):
        return Settings.model_validate({"pipeline": {"root": str(tmp_path / "runs")}} | sections)

    return settings


def spans(pattern):
    return {"path": "/data", "train_pattern": f"{pattern}/train.csv", "test_pattern": f"{pattern}/test.csv"}


def test_a_plan_names_each_component_after_those_that_it_waits_for(settings):
    plan = airflow_tasks.compile_plan(settings())
    seen = set()
    for component, waits_for in plan.items():
        assert set(waits_for) <= seen
        seen.add(component)
    assert list(plan)[-1] == "AgNewsPusher"
    assert "ValidationGate" in plan["Transform"]


def test_one_component_begins_a_run_and_all_others_wait(settings):
    plan = airflow_tasks.compile_plan(settings())
    assert [component for component, waits_for in plan.items() if not waits_for] == ["AgNewsExampleGen"]


def test_the_plan_follows_the_settings(settings):
    plan = airflow_tasks.compile_plan(settings(tuner={"enabled": True}, promotion={"require_approval": True}))
    assert "Tuner" in plan["Trainer"]
    assert plan["DecisionResolver"] == ["RequestApproval"]


def test_a_plan_is_written_once_for_the_settings_on_standard_input(settings, tmp_path, monkeypatch):
    file = tmp_path / "plan.json"
    monkeypatch.setattr("sys.stdin", io.StringIO(settings().model_dump_json()))
    airflow_tasks.write_plan(str(file))
    assert json.loads(file.read_text()) == airflow_tasks.compile_plan(settings())
    file.write_text("{}")
    monkeypatch.setattr("sys.stdin", io.StringIO(settings().model_dump_json()))
    airflow_tasks.write_plan(str(file))
    assert file.read_text() == "{}"


@pytest.mark.parametrize("pattern", ["{SPAN}", "span-{SPAN:6}", "{YYYY}-{MM}-{DD}", "{YYYY}/{MM}/{DD}/{VERSION}"])
def test_a_day_is_a_span_in_days_since_1970(settings, pattern):
    of_day = airflow_tasks.for_day(settings(data=spans(pattern)), date(2026, 1, 1))
    assert of_day.data.span == (date(2026, 1, 1) - date(1970, 1, 1)).days == 20454


def test_files_without_spans_are_taken_as_they_are(settings):
    plain = settings(data=spans("all"))
    assert airflow_tasks.for_day(plain, date(2026, 1, 1)) == plain


@pytest.fixture
def executions(settings):
    """Records three executions of one component: two tries of a DAG run, and one of another DAG run."""
    store = metadata_store.MetadataStore(connection_config(settings()))
    execution_type = store.put_execution_type(mlmd.ExecutionType(name="Transform"))
    context_types = {name: store.put_context_type(mlmd.ContextType(name=name)) for name in ("node", "pipeline_run")}

    def context(kind, name):
        found = store.get_context_by_type_and_name(kind, name)
        return found or mlmd.Context(type_id=context_types[kind], name=name)

    def put(run, state):
        contexts = [context("node", "agnews.Transform"), context("pipeline_run", run)]
        execution = mlmd.Execution(type_id=execution_type, last_known_state=state)
        return store.put_execution(execution, [], contexts)[0]

    running, complete = mlmd.Execution.RUNNING, mlmd.Execution.COMPLETE
    return store, [put("day-1.A", running), put("day-1.A", complete), put("day-10.A", running)]


def test_only_leftovers_of_a_killed_try_of_the_same_run_are_removed(settings, executions):
    store, ids = executions
    outputs = [Path(settings().pipeline.root) / f"agnews/Transform/transform_graph/{one}" for one in ids]
    for output in outputs:
        output.mkdir(parents=True)

    airflow_tasks.discard_killed(settings(), "Transform", "day-1")

    states = [execution.last_known_state for execution in store.get_executions_by_id(ids)]
    assert states == [mlmd.Execution.CANCELED, mlmd.Execution.COMPLETE, mlmd.Execution.RUNNING]
    assert [output.exists() for output in outputs] == [False, True, True]


def test_the_first_try_of_all_finds_nothing_to_close(settings):
    airflow_tasks.discard_killed(settings(), "Transform", "day-1")
