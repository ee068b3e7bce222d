"""Runs each task of the compiled pipeline with its own command line and mounts, on PostgreSQL, to pushed models."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import ROOT
from tests.support.command_server import command_server
from tests.support.compiled_pipeline import CompiledPipeline
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kubeflow, pytest.mark.timeout(5400)]

DATABASE = "metadata"
SMALL = {
    "data.train_pattern": "{SPAN}/train.csv",
    "data.test_pattern": "{SPAN}/test.csv",
    "data.window": "2",
    "trainer.epochs": "1",
    "trainer.embedding_dim": "16",
    "trainer.units": "8",
    "trainer.batch_tokens": "1000",
    "evaluator.min_accuracy": "0.1",
    "evaluator.min_label_recall": "0.0",
    "evaluator.max_accuracy_drop": "1.0",
    "evaluator.max_label_recall_drop": "1.0",
    "model_card.robustness_rows": "20",
    "promotion.require_approval": "true",
}


class Cluster:
    """Does what Kubeflow Pipelines does with a compiled file, with processes in place of pods."""

    def __init__(self, directory, server, commands):
        self.volume, self.secret = directory / "volume", directory / "secret"
        self.mounts = {directory / "agnews": self.volume, directory / "secrets": self.secret}
        self._home, self._commands = directory / "home", commands
        for made in (self.volume, self.secret, self._home):
            made.mkdir()
        (self.secret / "metadata_password").write_text(server.password + "\n")
        places = {
            "kubeflow.mount_path": directory / "agnews",
            "kubeflow.secret_path": directory / "secrets",
            "pipeline.root": directory / "agnews/runs",
            "data.path": directory / "agnews/data",
            "pusher.destination": directory / "agnews/serving_model",
            "metadata.password_file": directory / "secrets/metadata_password",
            "metadata.host": "127.0.0.1",
            "metadata.port": server.port,
            "metadata.database": DATABASE,
        }
        self.options = [
            "--profile",
            "kubeflow",
            *(word for key, value in (SMALL | places).items() for word in ("--set", f"{key}={value}")),
        ]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "TMPDIR": str(self._home)}

    def compile(self):
        command = [sys.executable, "-m", "pipeline", "kubeflow", "compile", *self.options, "--output", "compiled"]
        subprocess.run(
            command, cwd=self._home, env=self.environment | {"PYTHONPATH": str(ROOT)}, check=True, timeout=1200
        )
        [file] = (self._home / "compiled").iterdir()
        self.compiled = CompiledPipeline(file.read_text())

    def run(self, name, parameters, *, at_task=None):
        """Runs the tasks in order; returns their exit statuses. `at_task` may act on a running task, by its name."""
        statuses = {}
        for task in self.compiled.tasks(name, parameters):
            statuses[task.name] = self._try(task, at_task)
            if statuses[task.name]:
                break
        end = self.compiled.end_task(name, parameters, "FAILED" if any(statuses.values()) else "SUCCEEDED")
        statuses[end.name] = self._try(end, None)
        return statuses

    def _try(self, task, at_task):
        for _ in range(1 + task.retries):
            with self._mounted(task.kubernetes):
                running = self._commands.start(task.command, self.environment, self._home)
                if at_task:
                    at_task(task.name, running)
                status = running.wait()
            if status == 0:
                return 0
            print(task.name, status, running.log[-3000:])  # noqa: T201 - pytest shows it when a test fails
        return status

    @contextlib.contextmanager
    def _mounted(self, kubernetes):
        """Mounts what the compiled file names for a task, and nothing else."""
        sources = {"pvcMount": self.volume, "secretAsVolume": self.secret}
        links = [Path(mount["mountPath"]) for kind in sources for mount in kubernetes.get(kind, ())]
        for kind, source in sources.items():
            for mount in kubernetes.get(kind, ()):
                Path(mount["mountPath"]).symlink_to(source)
        try:
            yield
        finally:
            for link in links:
                link.unlink()

    @contextlib.contextmanager
    def all_mounted(self):
        task = next(self.compiled.tasks("people", {"author": ""}))
        with self._mounted(task.kubernetes):
            yield

    def agnews(self, *arguments):
        """The status and the output of a command that a person runs in a pod."""
        running = self._commands.start(["agnews", *arguments, *self.options], self.environment, self._home)
        return SimpleNamespace(status=running.wait(), output=running.stdout.read_text(), log=running.log)


@pytest.fixture(scope="module")
def store(server):
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.postgresql.host, config.postgresql.port = "127.0.0.1", str(server.port)
    config.postgresql.dbname, config.postgresql.user = DATABASE, "agnews"
    config.postgresql.password = server.password
    return metadata_store.MetadataStore(config)


@pytest.fixture(scope="module")
def server():
    from tests.support import postgresql

    if not postgresql.installed():
        pytest.fail(postgresql.MISSING)
    with postgresql.serving() as running:
        running.create_database(DATABASE)
        yield running


@pytest.fixture(scope="module")
def story(tmp_path_factory, server):
    from components.example_gen.synthetic import write_synthetic

    directory = tmp_path_factory.mktemp("kubeflow")
    result = SimpleNamespace(killed=[], approved=[])
    # One server runs the tasks, another one what a person does while a task waits.
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("tasks", "people"):
            (directory / name).mkdir()
            servers.append(stack.enter_context(command_server(directory / name)))
        result.cluster = cluster = Cluster(directory, server, servers[0])
        people = Cluster.__new__(Cluster)
        people.__dict__.update(vars(cluster), _commands=servers[1])
        for span in (1, 2):
            # The same rows: so few others would have drifted.
            write_synthetic(cluster.volume / f"data/{span}", train_rows=400, test_rows=100, seed=7)
        cluster.compile()

        def kill_trainer_once(title, running):
            if title == "Trainer" and not result.killed:
                wait_until(lambda: "Going to run a new execution" in running.log, 600)
                os.killpg(running.pid, signal.SIGKILL)
                result.killed.append(running.pid)
            approve(title, running)

        def approve(title, running):
            if title == "RequestApproval":
                shown = wait_until(lambda: re.search(r"agnews approvals approve (\d+)", running.log), 600)
                ended = people.agnews("approvals", "approve", shown[1], "--by", "bob@here", "--reason", "good enough")
                result.approved.append(ended)

        started = time.monotonic()
        result.first = cluster.run("first", {"author": "ann@here", "span": "1"}, at_task=kill_trainer_once)
        result.again = cluster.run("again", {"author": "ann@here", "span": "1"})
        result.window = cluster.run("window", {"author": "ann@here", "span": "2"}, at_task=approve)
        result.seconds = time.monotonic() - started
        with cluster.all_mounted():
            result.verified = cluster.agnews("audit", "verify")
        serving = cluster.volume / "serving_model/agnews"
        result.versions = sorted(path.name for path in serving.iterdir() if path.name.isdecimal())
    return result


def executions(store, run, component):
    from pipeline.metadata.runs import component_executions

    return component_executions(store, f"kubeflow-{run}", component)


def states(store, run, component):
    from ml_metadata.proto.metadata_store_pb2 import Execution

    return [Execution.State.Name(one.last_known_state) for one in executions(store, run, component)]


def test_each_run_ends_well(story):
    for statuses in (story.first, story.again, story.window):
        assert set(statuses.values()) == {0}
        assert len(statuses) == 18  # All components, with the window's and the approval's, and the end of the run.


def test_a_killed_task_is_closed_and_its_second_try_finishes(story, store):
    assert len(story.killed) == 1
    assert states(store, "first", "Trainer") == ["CANCELED", "COMPLETE"]


def test_a_task_waits_until_another_person_has_approved(story):
    assert [ended.status for ended in story.approved] == [0, 0]
    assert "approved by bob@here" in story.approved[0].output
    assert story.verified.status == 0
    assert "4 entries, as they were written" in story.verified.output


def test_the_second_run_takes_everything_from_the_cache(story, store):
    components = [name for name in story.again if not name.endswith("Resolver") and name != "end of the run"]
    assert {name: states(store, "again", name) for name in components} == {name: ["CACHED"] for name in components}


def test_a_window_of_two_spans_is_trained_and_pushed(story, store):
    from pipeline.metadata.graph import execution_inputs

    [transform] = executions(store, "window", "Transform")
    spans = [one.custom_properties["span"].int_value for one in execution_inputs(store, transform.id)["examples"]]
    assert sorted(spans) == [1, 2]
    assert len(story.versions) == 2


def test_no_file_on_the_volume_can_be_written_by_everybody(story):
    """Argo starts commands with umask 000."""
    files = [path for path in story.cluster.volume.rglob("*") if path.is_file() and "data" not in path.parts]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o002] == []
