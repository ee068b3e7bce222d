"""Kills a process and looks for the programs that it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schema.child_process import bound_command
from tests.support import ROOT
from tests.support.waiting import wait_until

_PARENT = """
import subprocess, sys, time
from schema.child_process import bound_command
child = subprocess.Popen(bound_command(["sleep", "300"]))
print(child.pid, flush=True)
time.sleep(300)
"""


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except FileNotFoundError:
        return None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=lambda number: number.name)
def test_a_bound_program_ends_with_its_parent(number):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True, env=environment)
    child = int(parent.stdout.readline())
    wait_until(lambda: command_of(child) == b"sleep", 10)
    parent.send_signal(number)
    parent.wait(10)
    wait_until(lambda: not command_of(child), 10)
    parent.stdout.close()


def test_status_and_output_are_those_of_the_program():
    ended = subprocess.run(bound_command(["sh", "-c", "echo hello; exit 3"]), capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "hello\n")
