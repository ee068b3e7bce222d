"""Kubeflow Pipelines with processes in place of pods."""

import contextlib
import copy
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from tests.support import ROOT
from tests.support.compiled_pipeline import CompiledPipeline
from tests.support.postgresql import DATABASE
from tests.support.small_run import set_options


class Cluster:
    """Does what Kubeflow Pipelines does with a compiled file, with processes in place of pods."""

    def __init__(self, directory, server, commands, settings):
        self.volume, self.secret = directory / "volume", directory / "secret"
        self._home, self._commands = directory / "home", commands
        for made in (self.volume, self.secret, self._home):
            made.mkdir()
        (self.secret / "metadata_password").write_text(server.password + "\n")
        self.settings = settings | {
            "kubeflow.mount_path": f"{directory}/agnews",
            "kubeflow.secret_path": f"{directory}/secrets",
            "pipeline.root": f"{directory}/agnews/runs",
            "data.path": f"{directory}/agnews/data",
            "pusher.destination": f"{directory}/agnews/serving_model",
            "metadata.password_file": f"{directory}/secrets/metadata_password",
            "metadata.host": "127.0.0.1",
            "metadata.port": str(server.port),
            "metadata.database": DATABASE,
        }
        self.options = ["--profile", "kubeflow", *set_options(self.settings)]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "TMPDIR": str(self._home)}

    def with_commands(self, commands):
        """Returns this cluster for a person whose commands another server runs."""
        person = copy.copy(self)
        person._commands = commands
        return person

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
