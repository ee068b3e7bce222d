"""A real Airflow on this machine, as `make airflow` starts it."""

import json
import subprocess
import time
from urllib.parse import quote

import httpx
import pytest

from tests.support import ROOT
from tests.support.waiting import wait_until

PYTHON = ROOT / ".venv-airflow/bin/python"
AIRFLOW = PYTHON.with_name("airflow")


class LocalAirflow:
    """A local Airflow with its API, for the pipeline of a sandbox."""

    def __init__(self, sandbox):
        if not AIRFLOW.exists():
            pytest.fail("Airflow is not installed: scripts/setup.sh airflow")
        self.sandbox = sandbox
        self.directory = sandbox.directory
        self.home = self.directory / "airflow"
        self.environment = sandbox.environment | {"AIRFLOW_HOME": str(self.home)}
        self.client = None

    def script(self, action):
        command = [PYTHON, ROOT / "scripts/local_airflow.py", action]
        subprocess.run(command, cwd=self.directory, env=self.environment, check=True, timeout=600)

    def start(self):
        self.script("start")
        address = (self.home / "address").read_text().strip()
        password = json.loads((self.home / "passwords.json").read_text())["admin"]
        login = {"username": "admin", "password": password}
        token = httpx.post(f"{address}/auth/token", json=login, trust_env=False).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=f"{address}/api/v2", headers=headers, trust_env=False, timeout=60)

    def ask(self, method, path, **options):
        answer = self.client.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def runs(self, dag="agnews"):
        return {run["dag_run_id"]: run for run in self.ask("GET", f"/dags/{dag}/dagRuns")["dag_runs"]}

    def tasks(self, run, dag="agnews"):
        tasks = self.ask("GET", f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances")["task_instances"]
        return {one["task_id"]: one for one in tasks}

    def states(self, run, dag="agnews"):
        return {name: one["state"] for name, one in self.tasks(run, dag).items()}

    def log(self, run, task, attempt=1, dag="agnews"):
        directory = self.home / f"logs/dag_id={dag}/run_id={run}/task_id={task}"
        return (directory / f"attempt={attempt}.log").read_text()

    def switch_on(self, dag):
        self.ask("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def trigger(self, dag, day, hour=0):
        """Starts a run at an hour of a day, for the day before it; returns the run's name."""
        body = {"logical_date": f"{day}T{hour:02}:00:00Z"}
        return self.ask("POST", f"/dags/{dag}/dagRuns", json=body)["dag_run_id"]

    def wait(self, what, condition, seconds=900):
        return wait_until(condition, seconds, 1, lambda: f"{what} did not happen within {seconds} s")

    def has_ended(self, run, dag="agnews"):
        return self.runs(dag).get(run, {}).get("state") in ("success", "failed")

    def wait_for_end(self, run, dag="agnews"):
        self.wait(f"the end of {run}", lambda: self.has_ended(run, dag))

    def wait_for_request(self, run):
        """Waits until a run of the training asks for an approval; an error with its states if it ends before."""

        def asks():
            states = self.states(run)
            assert not self.has_ended(run), f"{run} ended without a request: {states}"
            return states["RequestApproval"] == "awaiting_input"

        self.wait(f"the request of {run}", asks)

    def answer(self, run, option, reason):
        """Answers the request for approval in Airflow until the task is done.

        Airflow refuses an answer while the task looks for decisions, and can lose one seconds after the question.
        """
        path = f"/dags/agnews/dagRuns/{quote(run, safe='')}/taskInstances/RequestApproval/-1/hitlDetails"
        body = {"chosen_options": [option], "params_input": {"reason": reason}}

        def is_done():
            state = self.states(run)["RequestApproval"]
            if state == "awaiting_input":
                time.sleep(12)
                self.client.patch(path, json=body)
            return state == "success"

        self.wait("the decision", is_done)

    def store_runs(self, run):
        """The runs of a DAG run in the metadata store, in order."""
        contexts = self.sandbox.store().get_contexts_by_type("pipeline_run")
        return [context for context in contexts if context.name.startswith(run + ".")]

    def outputs(self, context, kind):
        """The artifacts of a type that a run made or took from the cache."""
        store = self.sandbox.store()
        executions = [execution.id for execution in store.get_executions_by_context(context.id)]
        made = [e.artifact_id for e in store.get_events_by_execution_ids(executions) if e.type == e.OUTPUT]
        return [artifact for artifact in store.get_artifacts_by_id(made) if artifact.type == kind]
