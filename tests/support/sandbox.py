"""Runs the command as a user does, in a process of its own, on synthetic rows."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

from tests.support import ROOT
from tests.support.warm_process import WarmProcess

_STATE = re.compile(r"^[\d:]{8} (\w+): (done|cached|failed) \(", re.MULTILINE)


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    status: int
    output: str

    @property
    def states(self):
        """The last state of each component."""
        return dict(_STATE.findall(self.output))


class PipelineSandbox:
    """A directory with data, metadata store and serving folder of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AGNEWS_", "AG_NEWS"))
        }
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self.environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)}

    def start(self, *arguments, code=None, profile="sample", warm=False):
        """Starts `agnews run`.

        Args:
            arguments: further arguments of the command.
            code: Python to run before.
            profile: name of the settings profile.
            warm: whether to fork a process that has imported everything, instead of starting one as a user does.
        """
        arguments = ["run", "--profile", profile, "--data", "data", *arguments]
        if warm:
            return WarmProcess(arguments, self.directory, self.environment, code)
        command = ["-c", f"{code}; from pipeline.cli import main; main()"] if code else ["-m", "pipeline"]
        return subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's background jobs ignore Ctrl-C, and their children would as well.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *arguments, timeout=600, **options):
        process = self.start(*arguments, **options)
        output, _ = process.communicate(timeout=timeout)
        print(output)  # noqa: T201 - pytest shows it when a test fails
        return RunResult(process.returncode, output)

    def command(self, *arguments):
        """Runs another command in a fork of a process that has imported everything."""
        process = WarmProcess(arguments, self.directory, self.environment)
        output, _ = process.communicate(timeout=120)
        return RunResult(process.returncode, output)

    def agnews(self, *arguments):
        """The output of another command, which must succeed."""
        ended = self.command(*arguments)
        if ended.status:
            raise subprocess.CalledProcessError(ended.status, arguments, ended.output)
        return ended.output

    def make_data(self, directory, rows=2000, seed=7):
        from components.example_gen.synthetic import write_synthetic

        write_synthetic(self.directory / directory, train_rows=rows, test_rows=rows // 4, seed=seed)

    @property
    def versions(self):
        """What TensorFlow Serving would find."""
        serving = self.directory / "serving_model/agnews"
        return sorted(path.name for path in serving.iterdir() if path.name.isdecimal()) if serving.exists() else []

    @property
    def leftovers(self):
        return [str(path) for path in (self.directory / "serving_model").rglob(".incoming-*")]

    def store(self):
        from ml_metadata import metadata_store
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(self.directory / "runs/metadata.sqlite")
        return metadata_store.MetadataStore(config)
