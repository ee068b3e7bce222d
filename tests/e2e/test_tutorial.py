"""Runs every command of docs/tutorial.md as written, on synthetic rows and without a network."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.support import ROOT

TUTORIAL = (ROOT / "docs/tutorial.md").read_text()
# A block of code with its language, or an address that the reader opens.
_STEPS = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$|<(?P<address>http://[^>]+)>", re.MULTILINE | re.DOTALL)
_SERVERS = ("bash second-terminal", "bash third-terminal")
# Ports that the tutorial names. Other servers may use them on this machine, so the test takes free ones.
_PORTS = ("8500", "8501", "8090")


class Terminal:
    """A shell that runs blocks of commands, one after the other, and stops at the first command that fails."""

    def __init__(self, directory, name, environment):
        self.directory, self.log = directory, directory / f"{name}.log"
        with self.log.open("w") as log:
            self.shell = subprocess.Popen(
                ["bash", "-e"],
                cwd=directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    @property
    def output(self):
        return self.log.read_text()

    def run(self, block, timeout=600):
        """Runs a block and returns its output."""
        before = len(self.output)
        self.start(block)
        self.wait_for("block finished", before, timeout)
        return self.output[before:]

    def start(self, block):
        """Starts a block without waiting for its end."""
        script = self.directory / f"{self.log.stem}.sh"
        script.write_text(block)
        self.shell.stdin.write(f". {script} </dev/null\necho block finished\n")
        self.shell.stdin.flush()

    def wait_for(self, text, before=0, timeout=180):
        """Waits until the output after position `before` contains `text`."""
        deadline = time.monotonic() + timeout
        while text not in self.output[before:]:
            assert self.shell.poll() is None, f"a command failed:\n{self.output[before:]}"
            assert time.monotonic() < deadline, f"{text!r} did not appear within {timeout} s:\n{self.output[before:]}"
            time.sleep(0.1)

    def stop(self):
        """Sends Ctrl-C, then ends whatever is left."""
        if self.shell.poll() is None:
            self.shell.stdin.close()
            os.killpg(self.shell.pid, signal.SIGINT)
            try:
                self.shell.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.shell.pid, signal.SIGKILL)


@pytest.fixture
def copy_of_repository(tmp_path):
    """A directory with the files that the tutorial needs; the environment is this one, so set-up has nothing to do."""
    directory = tmp_path / "agnews"
    (directory / "scripts").mkdir(parents=True)
    (directory / "Makefile").symlink_to(ROOT / "Makefile")
    (directory / ".venv").symlink_to(sys.prefix)
    (directory / "scripts/setup.sh").write_text("#!/bin/sh\n")
    (directory / "scripts/setup.sh").chmod(0o755)
    return directory


@pytest.fixture
def open_terminal(copy_of_repository, tmp_path):
    """Returns a function that opens a terminal in the copy, and closes all of them at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGNEWS_", "AG_NEWS"))}
    environment = kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    terminals = []

    def open_one(name):
        terminals.append(Terminal(copy_of_repository, name, environment))
        return terminals[-1]

    yield open_one
    for terminal in terminals:
        terminal.stop()


def free_ports(count):
    """Returns ports that no other server uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def steps():
    """Yields the kind and text of each block and address, in order, with free ports."""
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    pattern = re.compile(rf"\b({'|'.join(_PORTS)})\b")
    for step in _STEPS.finditer(pattern.sub(lambda port: ports[port[0]], TUTORIAL)):
        yield ("address", step["address"]) if step["address"] else (step["kind"], step["body"])


def missing_lines(expected, output):
    """Returns the expected lines that the output does not contain; "…" matches any text."""
    output = " ".join(output.split())
    patterns = {line: ".*?".join(map(re.escape, " ".join(line.split()).split("…"))) for line in expected.splitlines()}
    return [line for line, pattern in patterns.items() if not re.search(pattern, output)]


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_every_command_of_the_tutorial_runs_as_written(open_terminal):
    first = open_terminal("first-terminal")
    last = first
    output = ""
    for kind, text in steps():
        if kind == "bash":
            output, last = first.run(text), first
        elif kind in _SERVERS:
            last = open_terminal(kind.removeprefix("bash "))
            last.start(text)
        elif kind == "address":
            with urllib.request.urlopen(text, timeout=60) as response:
                assert response.status == 200
        elif last is first:
            assert missing_lines(text, output) == [], output
        else:
            for line in text.splitlines():
                last.wait_for(line.partition("…")[0])
    assert not (first.directory / "runs").exists()


def test_the_tutorial_has_only_blocks_that_the_test_knows():
    kinds = [kind for kind, _ in steps()]
    assert set(kinds) == {"bash", *_SERVERS, "address", ""}
    assert kinds.count("bash") > 10
