"""Starts programs that end with this process, even if it is killed and cannot stop them.

Run as a script, it asks the kernel for a signal at the death of its parent, then becomes the program. A function that
Popen runs in the child could deadlock in a process with threads, and Beam offers no place for one.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def bound_command(command: Sequence[str]) -> list[str]:
    """Returns a command that runs a program, and that the kernel kills when the calling process ends.

    The program must be started by a thread that lives as long as it is needed. Linux only.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It was killed before the request.
        sys.exit(128 + signal.SIGKILL)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
