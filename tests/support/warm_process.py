"""Runs commands in forks of a process that has already imported TensorFlow Extended, which takes ten CPU seconds."""

import atexit
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from multiprocessing import forkserver

from tests.support import ROOT

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.warm_imports"])


class WarmProcess:
    """A command that runs in a fork, with those methods of `subprocess.Popen` that tests use.

    Args:
        arguments: command line of `agnews`, without the name.
        directory: working directory.
        environment: all environment variables.
        code: Python to run before the command.
    """

    def __init__(self, arguments, directory, environment, code=None):
        # The server's own environment: its children get `environment`.
        before = os.environ.copy()
        os.environ["PYTHONPATH"] = str(ROOT)
        try:
            forkserver.ensure_running()
        finally:
            os.environ.clear()
            os.environ.update(before)
        reader, writer = _context.Pipe(duplex=False)
        self._process = _context.Process(
            target=_run, args=(list(map(str, arguments)), str(directory), dict(environment), code, writer)
        )
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    def send_signal(self, number):
        os.kill(self._process.pid, number)

    def wait(self):
        """Waits for the end and returns the exit status, negative for a signal."""
        self._process.join()
        return self._process.exitcode

    @property
    def returncode(self):
        return self._process.exitcode

    def communicate(self, timeout):
        """Returns the output and None. Kills the process after `timeout` seconds."""
        timer = threading.Timer(timeout, self._process.kill)
        timer.start()
        try:
            return self.stdout.read(), None
        finally:
            timer.cancel()
            self.wait()


def _run(arguments, directory, environment, code, writer):
    for stream in (1, 2):
        os.dup2(writer.fileno(), stream)
    writer.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it is the process's own stream
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if code:
        exec(code, {})
    from pipeline.cli import main

    sys.argv = ["agnews", *arguments]
    try:
        main()
    finally:
        # The fork leaves by os._exit, which does neither.
        atexit._run_exitfuncs()
        sys.stdout.flush()
