"""Sends signals to processes while they run code that drops, wraps or delays the exception."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from schema import interruption
from tests.support import ROOT

DROPS = "try: time.sleep(60)\nexcept BaseException: pass\n"
NATIVE = "import hashlib\nhashlib.pbkdf2_hmac('md5', b'', b'', 10**9)"
BEGIN = """
import os, signal, subprocess, sys, threading, time
from schema import interruption
interruption.GRACE_SECONDS = 1.0

def ready():
    print("ready", flush=True)

def run():
    ready()
{body}

with interruption.end_on_signals():
    run()
print("after the block", flush=True)
"""


@pytest.fixture
def start():
    """Starts a process in `end_on_signals`, and waits until it reports that it is ready."""
    processes = []

    def start(body, **options):
        code = BEGIN.format(body=textwrap.indent(textwrap.dedent(body), "    "))
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes, **options)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def end(process, number=signal.SIGTERM):
    """Sends a signal; returns status, output and error output, and the seconds until the process ended."""
    began = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    return process.returncode, output, errors, time.monotonic() - began


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated"), (signal.SIGHUP, 129, "Hung up")],
)
def test_a_signal_ends_the_process_with_its_status_and_a_message(start, number, status, word):
    process = start("interruption.set_advice('run again')\ntime.sleep(60)")
    assert end(process, number)[:3] == (status, "", f"\n{word}; run again\n")


@pytest.mark.parametrize(
    "body",
    [
        "try: time.sleep(60)\nexcept BaseException as error: raise RuntimeError('wrapped') from error",
        "try: time.sleep(60)\nexcept BaseException: sys.exit(0)",
        DROPS,
        "class Dropped:\n    def __del__(self): time.sleep(60)\nDropped()",
    ],
)
def test_a_lost_exception_does_not_change_the_end_of_the_process(start, body):
    status, output, errors, _ = end(start(body))
    assert status == 143
    assert "Terminated" in errors
    assert "RuntimeError" not in errors
    assert "after the block" not in output


@pytest.mark.parametrize("body", [f"{DROPS}time.sleep(60)", NATIVE])
def test_code_that_continues_or_is_native_is_ended_after_the_grace(start, body):
    status, _, errors, seconds = end(start(body))
    assert (status, "Terminated" in errors) == (143, True)
    assert 0.9 < seconds < 5


def test_a_second_signal_ends_the_process_at_once(start):
    process = start(f"interruption.GRACE_SECONDS = 60\n{DROPS}time.sleep(60)")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # Python merges two signals that arrive together.
    status, _, _, seconds = end(process)
    assert status == 130
    assert seconds < 5


def test_child_processes_end_with_it_also_those_started_after_the_signal(start):
    process = start("""
        new = lambda: print(subprocess.Popen(["sleep", "60"], start_new_session=True).pid, flush=True)
        new()
        try: time.sleep(60)
        except BaseException: new()
        time.sleep(60)
    """)
    first = int(process.stdout.readline())
    status, output, _, _ = end(process)
    assert status == 143
    for child in (first, int(output)):
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_an_uninterruptible_block_is_finished_however_long_it_takes(start):
    process = start("""
        with interruption.uninterruptible():
            time.sleep(2)
            print("whole", flush=True)
        print("continued", flush=True)
    """)
    assert end(process)[:2] == (143, "whole\n")


def test_only_a_second_signal_ends_an_uninterruptible_block(start):
    process = start("with interruption.uninterruptible(): time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert process.poll() is None
    assert end(process)[0] == 143


def test_a_message_reaches_the_terminal_when_output_is_redirected(start):
    process = start(f"os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n{DROPS}time.sleep(60)")
    assert end(process)[2] == "\nTerminated\n"


def test_a_full_pipe_that_nobody_reads_does_not_hold_the_process(start):
    process = start("""
        import fcntl
        fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK)
        try:
            while True: os.write(2, b"x" * 4096)
        except BlockingIOError:
            fcntl.fcntl(2, fcntl.F_SETFL, 0)
        time.sleep(60)
    """)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143


def test_what_was_ignored_stays_ignored_as_under_nohup(start):
    process = start(
        "time.sleep(0.5)", preexec_fn=lambda: [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGINT)]
    )
    process.send_signal(signal.SIGHUP)
    assert end(process, signal.SIGINT)[:2] == (0, "after the block\n")


def test_a_handler_that_somebody_installs_in_the_block_is_in_charge(start):
    process = start("""
        signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
        ready()
        time.sleep(2)
    """)
    assert process.stdout.readline() == "ready\n"
    assert end(process)[:2] == (0, "mine\nafter the block\n")


def test_a_signal_to_a_forked_process_does_not_end_its_parent(start):
    process = start("""
        if child := os.fork():
            time.sleep(0.2)
            os.kill(child, signal.SIGTERM)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            time.sleep(60)
    """)
    output, _ = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "-15\nafter the block\n")


def test_handlers_are_those_of_before_after_the_block():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with interruption.end_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("error", [None, ValueError("wrong"), SystemExit(0)])
def test_an_interrupt_takes_the_place_of_a_steps_result_and_of_its_error(interrupt, error):
    def step():
        with interruption.interruptible():
            interrupt()
            if error:
                raise error

    with pytest.raises(interruption.Interrupted):
        step()


def test_an_uninterruptible_block_does_not_begin_after_a_signal(interrupt):
    ran = []
    interrupt()
    with pytest.raises(interruption.Interrupted), interruption.uninterruptible():
        ran.append(1)
    assert ran == []


def test_what_undoes_something_runs_also_after_a_signal(interrupt):
    ran = []
    interrupt()
    with pytest.raises(interruption.Interrupted), interruption.uninterruptible(also_after_signal=True):
        ran.append(1)
    assert ran == [1]


def test_without_a_signal_nothing_is_raised():
    with interruption.interruptible(), interruption.uninterruptible():
        interruption.raise_if_interrupted()
    assert not interruption.is_interrupted()
