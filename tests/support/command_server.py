"""Runs `agnews` commands in processes of their own, forked from one that has imported TensorFlow Extended.

The import takes most of the time of a short command. The arguments, environment, directory and streams of a command are
its own, as if it had been started.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

_SERVER = """
import json, os, sys
from pipeline.cli import configure_tensorflow, save_time
configure_tensorflow()
save_time()
import pipeline.runners.plan, pipeline.cli.component, pipeline.cli.finish
exec(sys.argv[1])
for line in sys.stdin:
    request = json.loads(line)
    files = [os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for descriptor, file in zip((1, 2), files):
            os.dup2(file, descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        os.umask(0)
        sys.argv = request["command"]
        from pipeline.cli import main
        status = 1
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    for file in files:
        os.close(file)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

# Sends its arguments, directory and environment to a command server; prints what the command wrote.
_CLIENT = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
with server.makefile("rw") as stream:
    json.dump([sys.argv[1:], os.getcwd(), dict(os.environ)], stream)
    stream.write("\\n")
    stream.flush()
    status, *files = json.loads(stream.readline())
for file in files:
    with open(file, errors="backslashreplace") as written:
        print(written.read(), end="", flush=True)
sys.exit(status)
"""


@dataclass
class Command:
    """A running command."""

    server: subprocess.Popen
    pid: int
    stdout: Path
    stderr: Path

    def wait(self):
        """Its exit status, negative after a signal."""
        return int(self.server.stdout.readline())

    @property
    def log(self):
        return self.stderr.read_text()


class CommandServer:
    """Starts commands, one at a time."""

    def __init__(self, directory, code):
        self._directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self._started = 0

    def start(self, command, environment, directory):
        self._started += 1
        files = [self._directory / f"{self._started:03}.{kind}" for kind in ("stdout", "stderr")]
        request = {
            "command": command,
            "environment": environment,
            "directory": str(directory),
            "stdout": str(files[0]),
            "stderr": str(files[1]),
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Command(self._process, int(self._process.stdout.readline()), *files)

    def install(self, script):
        """Writes a script that an orchestrator can run in place of `agnews`: its commands run here, one at a time."""
        address = str(self._directory / "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        script.write_text(_CLIENT.format(python=sys.executable, address=address))
        script.chmod(0o700)
        threading.Thread(target=self._answer, args=(listener,), daemon=True).start()

    def _answer(self, listener):
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as stream:
                arguments, directory, environment = json.loads(stream.readline())
                command = self.start(["agnews", *arguments], environment, directory)
                json.dump([command.wait() & 0xFF, str(command.stderr), str(command.stdout)], stream)
                stream.write("\n")

    def close(self):
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def command_server(directory, code=""):
    """A server that ends with the block; `code` is Python that it runs before the commands."""
    server = CommandServer(directory, code)
    try:
        yield server
    finally:
        server.close()
