"""Runs the DAGs in a real Airflow: two days with a kill and approvals, one without rows, one without files, scoring."""

import csv
import json
import os
import signal
import subprocess
from urllib.parse import quote

import psutil
import pytest

from tests.support.local_airflow import AIRFLOW, LocalAirflow
from tests.support.simulated_traffic import VERSION, Pool, write_logs

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(3600)]

DAYS = {"2026-01-01": 20454, "2026-01-02": 20455}
WITHOUT_ROWS = "2026-01-03"
# So few rows teach little, and these runs are not about accuracy.
SETTINGS = """
data:
  path: {directory}/data
  train_pattern: "{{YYYY}}-{{MM}}-{{DD}}/train.csv"
  test_pattern: "{{YYYY}}-{{MM}}-{{DD}}/test.csv"
trainer: {{epochs: 1, embedding_dim: 16, units: 8, batch_tokens: 1000}}
evaluator: {{min_accuracy: 0.1, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}}
model_card: {{robustness_rows: 20}}
promotion: {{require_approval: true}}
airflow:
  retry_minutes: 0.05
  approval_poll_minutes: 1
  sla_hours: 0.01
  batch_files: "{directory}/new/{{YYYY}}-{{MM}}-{{DD}}/*.csv"
  batch_output: "{directory}/scored/{{YYYY}}-{{MM}}-{{DD}}"
  monitor_logs: "{directory}/request_logs"
  monitor_trains: true
"""


def run_of(day):
    """The backfill's name for the run of a day, which is due when the day has ended."""
    return f"backfill__{day[:-2]}{int(day[-2:]) + 1:02}T00:00:00+00:00"


def kill_transform(airflow):
    """Ends the command with SIGKILL while Transform writes; returns its output directory, with a file more in it."""
    root = airflow.directory / "runs/agnews/Transform/transform_graph"

    def command():
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = process.info["cmdline"] or []
            if "Transform" in line and "component" in line and process.info["cwd"] == str(airflow.directory):
                return process
        return None

    [output] = airflow.wait("Transform's output", lambda: list(root.glob("*")))
    process = command()
    process.send_signal(signal.SIGKILL)
    (output / "left by the killed try").touch()
    return output


@pytest.fixture(scope="module")
def airflow(workplace, http_sink):
    # Other rows each day: the same rows give the same model, and its approval counts for it on the next day, too.
    for seed, day in enumerate(DAYS):
        workplace.make_data(f"data/{day}", rows=400, seed=seed)
    empty = workplace.directory / "data" / WITHOUT_ROWS
    empty.mkdir()
    for name in ("train.csv", "test.csv"):
        (empty / name).touch()
    (workplace.directory / "agnews.yaml").write_text(SETTINGS.format(directory=workplace.directory))
    with http_sink() as sink:
        workplace.environment |= {"AGNEWS_IDENTITY": "ann@here", "AGNEWS_ALERTS__WEBHOOK_URL": sink.url}
        airflow = LocalAirflow(workplace)
        try:
            airflow.start()
            tell_story(airflow)
            airflow.alerts = [json.loads(body)["text"] for body in sink.bodies]
            yield airflow
        finally:
            airflow.script("stop")


def tell_story(airflow):
    """What happens: a day without files, three days, and then the other two DAGs."""
    airflow.switch_on("agnews")
    # Airflow makes a run of yesterday, which has no files.
    [airflow.without_files] = airflow.wait("a scheduled run", airflow.runs)
    airflow.wait_for_end(airflow.without_files)
    days = ("--from-date", min(DAYS), "--to-date", WITHOUT_ROWS, "--max-active-runs", "1")
    command = [AIRFLOW, "backfill", "create", "--dag-id", "agnews", *days]
    subprocess.run(command, cwd=airflow.directory, env=airflow.environment, check=True, timeout=300)
    airflow.killed_output = kill_transform(airflow)
    first, second = map(run_of, DAYS)
    airflow.wait_for_request(first)
    airflow.versions_before = airflow.sandbox.versions
    airflow.answer(first, "Approve", "recall is equal")
    airflow.wait_for_end(first)
    airflow.wait_for_request(second)
    airflow.sandbox.agnews("approvals", "approve", f"{second}.0", "--by", "bob@here", "--reason", "good")
    airflow.wait_for_end(second)
    airflow.wait_for_end(run_of(WITHOUT_ROWS))
    score_and_monitor(airflow)


def score_and_monitor(airflow):
    for day, titles in (("2026-01-02", None), ("2026-01-03", "ZZZ QQQ XXX " * 20)):
        directory = airflow.directory / "new" / day
        directory.mkdir(parents=True)
        with (
            open(airflow.directory / "data/2026-01-02/test.csv", newline="") as source,
            open(directory / "items.csv", "w", newline="") as target,
        ):
            rows = [(title, text) for _, title, text in csv.reader(source)]
            rows = [(titles or title, text) for title, text in rows]
            csv.writer(target).writerows([("title", "description"), *rows])
    airflow.switch_on("agnews_batch")
    airflow.scored, airflow.drifted = (airflow.trigger("agnews_batch", day) for day in ("2026-01-03", "2026-01-04"))
    write_logs(
        Pool(airflow.directory / "pool"), airflow.directory / "request_logs", hours=48, seed=1, shift="classes", at=40
    )
    airflow.switch_on("agnews_monitor")
    airflow.monitored = airflow.trigger("agnews_monitor", "2026-01-05")
    for run, dag in (
        (airflow.scored, "agnews_batch"),
        (airflow.drifted, "agnews_batch"),
        (airflow.monitored, "agnews_monitor"),
    ):
        airflow.wait_for_end(run, dag)


def test_all_dags_are_loaded_and_the_training_has_the_plans_shape(airflow):
    assert airflow.ask("GET", "/importErrors")["import_errors"] == []
    assert {dag["dag_id"] for dag in airflow.ask("GET", "/dags")["dags"]} == {
        "agnews",
        "agnews_batch",
        "agnews_monitor",
    }
    details = airflow.ask("GET", "/dags/agnews/details")
    assert (details["max_active_runs"], details["catchup"], details["timezone"]) == (1, False, "UTC")
    tasks = {one["task_id"]: one for one in airflow.ask("GET", "/dags/agnews/tasks")["tasks"]}
    plan = json.loads((airflow.home / "dags/agnews.json").read_text())
    waits_for = {
        name: {other for other, task in tasks.items() if name in task["downstream_task_ids"]} for name in tasks
    }
    assert waits_for == {name: set(upstream) for name, upstream in plan["components"].items()}
    assert tasks["Trainer"]["retries"] == 2


def test_all_tasks_of_both_days_succeed(airflow):
    for day in DAYS:
        states = airflow.states(run_of(day))
        assert len(states) >= 16
        assert set(states.values()) == {"success"}


def test_the_data_interval_selects_the_span(airflow):
    for day, span in DAYS.items():
        [context] = airflow.store_runs(run_of(day))
        [examples] = [a for a in airflow.outputs(context, "Examples") if "rows_read" in a.custom_properties]
        assert examples.custom_properties["span"].int_value == span


def test_each_day_pushes_a_version(airflow):
    pushed = [airflow.outputs(airflow.store_runs(run_of(day))[0], "PushedModel")[0] for day in DAYS]
    versions = [one.custom_properties["pushed_version"].string_value for one in pushed]
    assert sorted(versions) == airflow.sandbox.versions
    assert len(set(versions)) == 2


def test_each_version_was_trained_on_the_rows_of_its_day(airflow):
    from pipeline.metadata.connection import connection_config
    from pipeline.metadata.runs import summarize
    from pipeline.settings.sources import load

    connection = connection_config(load(flags={"pipeline.root": (f"{airflow.directory}/runs", "the test")}).settings)
    windows = [summarize(connection, airflow.store_runs(run_of(day))[0].name).window for day in DAYS]
    assert windows == [[span] for span in DAYS.values()]


def test_the_second_day_is_compared_with_the_first(airflow):
    [first], [second] = (airflow.store_runs(run_of(day)) for day in DAYS)
    [model] = airflow.outputs(first, "Model")
    [blessing] = airflow.outputs(second, "ModelBlessing")
    assert blessing.custom_properties["baseline_model_id"].int_value == model.id


def test_the_commands_output_is_the_tasks_log(airflow):
    assert "rows_read=500" in airflow.log(run_of("2026-01-01"), "AgNewsExampleGen")


def test_a_killed_command_is_retried_without_what_it_left(airflow):
    from ml_metadata.proto import metadata_store_pb2

    run = run_of("2026-01-01")
    assert airflow.tasks(run)["Transform"]["try_number"] == 2
    assert "exit status -9" in airflow.log(run, "Transform")
    assert not airflow.killed_output.exists()
    [context] = airflow.store_runs(run)
    [graph] = airflow.outputs(context, "TransformGraph")
    assert os.path.exists(graph.uri)
    store = airflow.sandbox.store()
    [transform] = store.get_executions_by_id([int(airflow.killed_output.name)])
    assert transform.last_known_state == metadata_store_pb2.Execution.CANCELED


def test_a_day_without_files_fails_at_once_with_a_message_and_an_alert(airflow):
    tasks = airflow.tasks(airflow.without_files)
    assert (tasks["AgNewsExampleGen"]["state"], tasks["AgNewsExampleGen"]["try_number"]) == ("failed", 1)
    assert "success" not in {one["state"] for one in tasks.values()}
    assert "matches no file of span" in airflow.log(airflow.without_files, "AgNewsExampleGen")
    failures = [text for text in airflow.alerts if text.startswith("agnews: the run failed")]
    [alert] = [text for text in failures if airflow.without_files in text]
    assert f"runs/{quote(airflow.without_files, safe='')}/tasks/" in alert  # The address of the log in Airflow.


def test_a_day_without_rows_is_skipped(airflow):
    assert set(airflow.states(run_of(WITHOUT_ROWS)).values()) == {"skipped"}
    assert "the span is empty" in airflow.log(run_of(WITHOUT_ROWS), "AgNewsExampleGen")


def test_an_answer_in_airflow_is_recorded_under_the_users_name(airflow):
    assert airflow.versions_before == []
    first, second = json.loads(airflow.sandbox.agnews("approvals", "list", "--json"))
    [decision] = first["decisions"]
    assert (decision["who"], decision["why"]) == ("admin", "recall is equal (logged in to Airflow)")
    assert decision["approved"]
    [decision] = second["decisions"]
    assert decision["who"] == "bob@here"


def test_a_waiting_model_and_a_late_run_are_reported(airflow):
    for day in DAYS:
        [waiting] = [text for text in airflow.alerts if "is waiting for approval" in text and run_of(day) in text]
        assert "agnews approvals approve" in waiting
    [_late] = [text for text in airflow.alerts if "a model is late" in text and run_of("2026-01-01") in text]


def test_the_files_of_a_day_are_scored_and_the_result_is_recorded(airflow):
    assert set(airflow.states(airflow.scored, "agnews_batch").values()) == {"success"}
    summary = json.loads((airflow.directory / "scored/2026-01-02/summary.json").read_text())
    assert summary["rows_scored"] == 100
    assert list(airflow.directory.glob("runs/**/monitoring.json"))


def test_drifted_files_are_not_scored(airflow):
    assert airflow.states(airflow.drifted, "agnews_batch") == {"check_drift": "failed", "score": "upstream_failed"}
    assert not (airflow.directory / "scored/2026-01-03").exists()


def test_a_change_in_requests_starts_a_training(airflow):
    assert airflow.states(airflow.monitored, "agnews_monitor")["check_requests"] == "success"
    assert f"version {VERSION} of agnews" in airflow.log(airflow.monitored, "check_requests", dag="agnews_monitor")
    assert [run for run in airflow.runs() if run.startswith("change__")]


def test_nobody_else_can_read_the_password(airflow):
    assert (airflow.home / "passwords.json").stat().st_mode & 0o777 == 0o600
    assert airflow.home.stat().st_mode & 0o077 == 0


def test_airflow_ends_with_all_its_processes(airflow):
    airflow.script("stop")
    left = [one for one in psutil.process_iter(["cmdline"]) if str(airflow.home) in " ".join(one.info["cmdline"] or [])]
    assert left == []
    airflow.script("stop")
