"""Ends the process on a signal, whatever code is running.

A signal handler can stop the main thread only by raising an exception wherever that thread happens to be. Beam wraps
such an exception, TensorFlow drops it, and the work continues. So the signal is remembered as well: the functions here
raise the exception again between two steps and before a step with visible effects, and a thread ends the process if
it is still running after `GRACE_SECONDS`. The module is in the lowest package, so that components can use it.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# Docker kills a container 10 s after SIGTERM.
GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_WORDS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated", signal.SIGHUP: "Hung up"}
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """The process received a signal to end."""


class _State:
    def __init__(self) -> None:
        self.signal: int | None = None  # The first one.
        self.raised = False
        self.advice = ""
        self.terminal: int | None = None  # A copy of standard error.
        self.uninterruptible = threading.Lock()  # Held while the process must not end.
        self.ending = threading.Lock()  # Taken by the thread that ends it.


_state = _State()


def is_interrupted() -> bool:
    """Returns whether the process received a signal to end."""
    return _state.signal is not None


def raise_if_interrupted() -> None:
    """Raises Interrupted if the process received a signal to end, even if an earlier Interrupted was caught."""
    if is_interrupted():
        raise Interrupted


def interrupt(number: int) -> None:
    """Records a signal, for a process whose signals another program handles."""
    if _state.signal is None:
        _state.signal = number


def set_advice(text: str) -> None:
    """Sets the text after "Interrupted" when the process ends: what to do next, and where the log is."""
    _state.advice = text


def print_to_terminal(text: str) -> None:
    """Prints a line on the standard error that the command started with, even if it is redirected to a log now."""
    line = f"{text}\n"
    if _state.terminal is None:
        sys.stderr.write(line)
    else:
        os.write(_state.terminal, line.encode(errors="backslashreplace"))


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises Interrupted at the end of the block, instead of its result or error, if a signal arrived."""
    try:
        yield
    finally:
        raise_if_interrupted()


@contextmanager
def uninterruptible(*, also_after_signal: bool = False) -> Iterator[None]:
    """Runs a short block completely or not at all; only a second signal ends the process within it.

    Args:
        also_after_signal: run the block even if a signal arrived before it, for instance to undo something.

    Raises:
        Interrupted: a signal arrived before the block, which then does not run, or during the block.
    """
    with _state.uninterruptible:
        if not also_after_signal:
            raise_if_interrupted()
        yield
    raise_if_interrupted()


@contextmanager
def end_on_signals() -> Iterator[None]:
    """Ends the process with status 128 + N if signal N (SIGINT, SIGTERM or SIGHUP) arrives during the block.

    The first signal kills the child processes and raises Interrupted in the main thread. The process ends at the end of
    the block, after `GRACE_SECONDS`, or at a second signal. Signals that were ignored before, as under nohup, stay
    ignored. Handlers installed during the block, for instance by uvicorn, are respected. Outside the main thread, this
    function has no effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in _WORDS if signal.getsignal(number) is not signal.SIG_IGN]
    # The last message goes to the original stderr, even if a command redirects it later.
    terminal = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else os.open(os.devnull, os.O_WRONLY)
    _state.terminal = terminal
    read_end, write_end = socket.socketpair()
    write_end.setblocking(False)
    thread = threading.Thread(target=_watch, args=[read_end, terminal], name="signals", daemon=True)
    thread.start()
    former_descriptor = signal.set_wakeup_fd(write_end.fileno())
    former_handlers = {number: signal.signal(number, _handle) for number in handled}
    try:
        try:
            yield
        finally:
            # The exception is raised once; if it is raised on this line, the outer block ends as usual.
            _state.raised = True
    finally:
        if not is_interrupted():
            for number, handler in former_handlers.items():
                signal.signal(number, handler)
        if is_interrupted():
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            _end(terminal)
        signal.set_wakeup_fd(former_descriptor)
        write_end.close()
        thread.join()
        os.close(terminal)
        _state.raised, _state.advice, _state.terminal = False, "", None


def _handle(number: int, frame: FrameType | None) -> None:
    """Handles a signal in the main thread, between two of Python's instructions."""
    interrupt(number)
    if not _state.raised and not _state.uninterruptible.locked():
        _state.raised = True
        raise Interrupted


def _watch(signals: socket.socket, terminal: int) -> None:
    """Waits for signals in a thread, which receives them even while the main thread runs native code."""
    with signals:
        number = 0
        while number == 0 or signal.getsignal(number) is not _handle:
            received = signals.recv(1)
            if not received:  # The block has ended.
                return
            number = received[0]
        interrupt(number)
        _kill_children()
        signals.settimeout(GRACE_SECONDS)
        while True:
            with contextlib.suppress(TimeoutError):
                signals.recv(1)
                break
            if _state.uninterruptible.acquire(blocking=False):
                break
            signals.settimeout(_POLL_SECONDS)
        _end(terminal)


def _kill_children() -> None:
    """Kills all child processes: Beam waits for its workers, and nothing else would end them or a server."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _end(terminal: int) -> NoReturn:
    """Ends the process without waiting for the threads of Beam and TensorFlow; called from any thread."""
    _state.ending.acquire()
    assert _state.signal is not None
    _kill_children()
    message = "; ".join(filter(None, [f"\n{_WORDS[signal.Signals(_state.signal)]}", _state.advice])) + "\n"
    with contextlib.suppress(OSError):
        if os.isatty(terminal):  # A live table may have hidden it.
            message = _SHOW_CURSOR + message
        # A terminal or pipe that accepts no data must not block the process.
        if select.select([], [terminal], [], 0)[1]:
            os.write(terminal, message.encode(errors="replace"))
    os._exit(128 + _state.signal)


def _forget_in_child() -> None:
    """Resets the handlers in a forked process, which lacks the thread; its signals must not end the parent."""
    if any(signal.getsignal(number) is _handle for number in _WORDS):
        signal.set_wakeup_fd(-1)
        for number in _WORDS:
            if signal.getsignal(number) is _handle:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_in_child)
