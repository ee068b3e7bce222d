"""One story in a real Airflow: two days, one without files, one without rows, a kill, and one anew with an approval."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(3600)]

AIRFLOW = Path(sys.executable).with_name("airflow")
DAYS = {20454: "2026-01-01", 20455: "2026-01-02", 20457: "2026-01-04"}
# So few rows teach little, and these runs are not about accuracy.
SETTINGS = """
data:
  path: {directory}/data
  train_pattern: "{{YYYY}}-{{MM}}-{{DD}}/train.csv"
  test_pattern: "{{YYYY}}-{{MM}}-{{DD}}/test.csv"
trainer: {{epochs: 1, embedding_dim: 16, units: 8, batch_tokens: 1000}}
evaluator: {{min_accuracy: 0.1, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}}
model_card: {{robustness_rows: 20}}
airflow: {{approval_poll_minutes: 0.05}}
"""
PARSE = """
import json, sys
from airflow.models import DagBag
bag = DagBag()
[file] = bag.dagbag_stats
dag = bag.dags["agnews"]
trainer, pusher = dag.get_task("Trainer"), dag.get_task("AgNewsPusher")
shape = {
    "roots": [task.task_id for task in dag.roots],
    "last": [task.task_id for task in dag.leaves],
    "schedule": dag.schedule_interval,
    "catchup": dag.catchup,
    "active runs": dag.max_active_runs,
    "tags": sorted(dag.tags),
    "retries": trainer.retries,
    "back-off": trainer.retry_exponential_backoff,
    "minutes": [task.execution_timeout.total_seconds() / 60 for task in (trainer, pusher)],
    "late after hours": pusher.sla.total_seconds() / 3600,
    "doc": "{YYYY}-{MM}-{DD}/train.csv" in dag.doc_md,
}
print(json.dumps([bag.import_errors, file.duration.total_seconds(), "tensorflow" in sys.modules, shape]))
"""


class Story:
    """An AIRFLOW_HOME and what happened in it."""

    def __init__(self, workplace):
        self.workplace = workplace
        self.directory = workplace.directory
        home = self.directory / "home"
        (home / "dags").mkdir(parents=True)
        (home / "dags/agnews.py").symlink_to(ROOT / "pipeline/runners/airflow/dag_file.py")
        (self.directory / "agnews.yaml").write_text(SETTINGS.format(directory=self.directory))
        self.environment = workplace.environment | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AGNEWS_IDENTITY": "ann@here",
        }

    def start(self, *command, **environment):
        return subprocess.Popen(
            list(map(str, command)),
            cwd=self.directory,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, *command):
        output, _ = self.start(*command).communicate(timeout=900)
        print(output)  # noqa: T201 - pytest shows it when a test fails
        return output

    def states(self, date):
        """The states of the tasks of the run that was made on a date."""
        with sqlite3.connect(self.directory / "home/airflow.db") as database:
            query = "select task_id, state, try_number from task_instance where run_id = ?"
            return {task: (state, tries) for task, state, tries in database.execute(query, (run_of(date),))}

    def runs(self, date):
        """The runs of a date in the metadata store, in order."""
        contexts = self.workplace.store().get_contexts_by_type("pipeline_run")
        return [context for context in contexts if context.name.startswith(run_of(date) + ".")]

    def outputs(self, run, kind):
        """The artifacts of a type that a run made or took from the cache."""
        store = self.workplace.store()
        executions = [execution.id for execution in store.get_executions_by_context(run.id)]
        made = [e.artifact_id for e in store.get_events_by_execution_ids(executions) if e.type == e.OUTPUT]
        return [artifact for artifact in store.get_artifacts_by_id(made) if artifact.type == kind]

    def ancestors(self, artifact):
        """All that an artifact was made from."""
        store, found, ahead = self.workplace.store(), {}, [artifact]
        while ahead:
            events = store.get_events_by_artifact_ids([one.id for one in ahead])
            made_by = [event.execution_id for event in events if event.type == event.OUTPUT]
            inputs = [e.artifact_id for e in store.get_events_by_execution_ids(made_by) if e.type == e.INPUT]
            ahead = [one for one in store.get_artifacts_by_id(inputs) if one.id not in found]
            found |= {one.id: one for one in ahead}
        return list(found.values())


def run_of(date):
    return f"manual__{date}T00:00:00+00:00"


@pytest.fixture(scope="module")
def story(workplace, http_sink):
    if not AIRFLOW.exists():
        pytest.fail("Airflow is not installed: scripts/setup.sh airflow")
    for day in DAYS.values():
        workplace.make_data(f"data/{day}", rows=400)
    empty = workplace.directory / "data/2026-01-05"
    empty.mkdir()
    for name in ("train.csv", "test.csv"):
        (empty / name).touch()
    told = Story(workplace)
    told.call(AIRFLOW, "db", "migrate")
    told.first_parse, told.parse = [json.loads(told.call(sys.executable, "-c", PARSE).splitlines()[-1]) for _ in "12"]
    # A run's interval is the day before the date at which it is due.
    told.days = [told.call(AIRFLOW, "dags", "test", "agnews", date) for date in ("2026-01-02", "2026-01-03")]
    with http_sink() as sink:
        told.environment["AGNEWS_ALERTS__WEBHOOK_URL"] = sink.url
        told.no_data = told.call(AIRFLOW, "dags", "test", "agnews", "2026-01-04")
        del told.environment["AGNEWS_ALERTS__WEBHOOK_URL"]
    told.alerts = sink.bodies
    told.no_rows = told.call(AIRFLOW, "dags", "test", "agnews", "2026-01-06")
    told.versions = workplace.versions
    told.approval = approve_when_asked(told, "2026-01-03")
    told.killed = kill_in_transform(told, "2026-01-05")
    options = ("--local", "--force", "--ignore-all-dependencies")
    told.tried_again = told.call(AIRFLOW, "tasks", "run", *options, "agnews", "Transform", run_of("2026-01-05"))
    return told


def kill_in_transform(story, date):
    """Ends the process with SIGKILL while Transform writes; what Transform had left."""
    process = story.start(AIRFLOW, "dags", "test", "agnews", date)
    before = set(story.directory.glob("runs/agnews/Transform/transform_graph/*"))
    for _ in process.stdout:
        written = set(story.directory.glob("runs/agnews/Transform/transform_graph/*")) - before
        if written:
            process.send_signal(signal.SIGKILL)
    process.wait()
    [output] = written
    (output / "left by the killed try").touch()
    return SimpleNamespace(status=process.returncode, output=output)


def approve_when_asked(story, date):
    """Runs a day anew with approval required, and approves; what was printed, and the versions before the approval."""
    process = story.start(AIRFLOW, "dags", "test", "agnews", date, AGNEWS_PROMOTION__REQUIRE_APPROVAL="true")
    lines, versions = [], None
    for line in process.stdout:
        lines.append(line)
        asked = re.search(r"pending: agnews approve (\d+)", line)
        if asked and versions is None:
            versions = story.workplace.versions
            story.call(sys.executable, "-m", "pipeline", "approve", asked[1], "--by", "bob@here", "--reason", "good")
    process.wait()
    return SimpleNamespace(output="".join(lines), versions=versions)


def test_the_dag_is_parsed_in_less_than_five_seconds_and_without_tensorflow(story):
    errors, seconds, tensorflow, _ = story.parse
    assert errors == {}
    assert seconds < 5
    assert not tensorflow


def test_the_dag_is_as_the_settings_say(story):
    assert story.parse[-1] == {
        "roots": ["AgNewsExampleGen"],
        "last": ["AgNewsPusher"],
        "schedule": "@daily",
        "catchup": False,
        "active runs": 1,
        "tags": ["text classification", "tfx"],
        "retries": 2,
        "back-off": True,
        "minutes": [360, 60],
        "late after hours": 12,
        "doc": True,
    }


def test_all_tasks_of_both_days_succeed(story):
    for date in ("2026-01-02", "2026-01-03"):
        states = story.states(date)
        assert len(states) >= 13
        assert {state for state, _ in states.values()} == {"success"}


def test_the_data_interval_selects_the_span(story):
    for date, span in (("2026-01-02", 20454), ("2026-01-03", 20455)):
        first_run = story.runs(date)[0]
        [examples] = [a for a in story.outputs(first_run, "Examples") if "rows_read" in a.custom_properties]
        assert examples.custom_properties["span"].int_value == span
        assert examples.custom_properties["rows_read"].int_value == 500


def test_each_day_pushes_a_version_that_was_made_from_its_span(story):
    assert len(story.versions) == 2
    versions = []
    for date, span in (("2026-01-02", 20454), ("2026-01-03", 20455)):
        [pushed] = story.outputs(story.runs(date)[0], "PushedModel")
        assert pushed.custom_properties["pushed"].int_value == 1
        versions.append(pushed.custom_properties["pushed_version"].string_value)
        examples = [a for a in story.ancestors(pushed) if a.type == "Examples" and "rows_read" in a.custom_properties]
        assert span in [a.custom_properties["span"].int_value for a in examples]
    assert sorted(versions) == story.versions


def test_the_second_day_is_compared_with_the_first(story):
    [first_model] = story.outputs(story.runs("2026-01-02")[0], "Model")
    [blessing] = story.outputs(story.runs("2026-01-03")[0], "ModelBlessing")
    assert blessing.custom_properties["baseline_model_id"].int_value == first_model.id


def test_the_task_log_tells_what_a_component_reports(story):
    assert re.search(r"INFO - ingested rows_read=500", story.days[0])


def test_a_day_without_data_fails_at_once_and_says_what_is_missing(story):
    states = story.states("2026-01-04")
    assert states["AgNewsExampleGen"] == ("failed", 1)
    assert "success" not in {state for state, _ in states.values()}
    assert (
        "AgNewsExampleGen: data.train_pattern '{YYYY}-{MM}-{DD}/train.csv' matches no file of span 2026-01-03"
        in story.no_data
    )


def test_a_failed_task_reaches_the_alert_hook(story):
    [alert] = [json.loads(body)["text"] for body in story.alerts]
    assert alert.startswith("agnews: the run failed (manual__2026-01-04")
    assert "AgNewsExampleGen: data.train_pattern" in alert


def test_a_day_without_rows_is_skipped(story):
    states = story.states("2026-01-06")
    assert {state for state, _ in states.values()} == {"skipped"}
    assert "the span is empty" in story.no_rows


def test_a_retried_task_reuses_its_execution_without_leftovers(story):
    from ml_metadata.proto import metadata_store_pb2

    assert story.killed.status == -signal.SIGKILL
    assert story.states("2026-01-05")["Transform"][0] == "success"
    assert not (story.killed.output / "left by the killed try").exists()
    [execution] = story.workplace.store().get_executions_by_id([int(story.killed.output.name)])
    assert execution.last_known_state == metadata_store_pb2.Execution.COMPLETE
    [graph] = story.outputs(story.runs("2026-01-05")[0], "TransformGraph")
    assert graph.uri == str(story.killed.output)


def test_a_day_that_is_run_anew_is_a_new_run_and_trains_nothing(story):
    before, anew = story.runs("2026-01-03")
    assert [a.id for a in story.outputs(anew, "Model")] == [a.id for a in story.outputs(before, "Model")]


def test_the_run_waits_for_an_approval_and_then_pushes(story):
    assert story.approval.versions == story.versions
    assert {state for state, _ in story.states("2026-01-03").values()} == {"success"}
    assert "await_approval" in story.states("2026-01-03")
    [pushed] = story.outputs(story.runs("2026-01-03")[1], "PushedModel")
    assert pushed.custom_properties["pushed"].int_value == 1
