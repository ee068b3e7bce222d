"""Ends the process when a signal tells it to, whatever code is running.

A signal handler can stop the main thread only by raising an exception wherever that thread happens to be. Beam wraps
such an exception, TensorFlow drops it, and the work continues. So the signal is remembered as well: the functions here
raise the exception again between two steps and before a step that others can see, and a thread ends the process when
it has not ended after `GRACE_SECONDS`. The module is in the lowest package, so that components can use it.
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
    """A signal told the process to end."""


class _State:
    def __init__(self) -> None:
        self.signal: int | None = None  # The first one.
        self.raised = False
        self.advice = ""
        self.uninterruptible = threading.Lock()  # Held while the process must not end.
        self.ending = threading.Lock()  # Taken by the thread that ends it.


_state = _State()


def is_interrupted() -> bool:
    """Whether a signal told the process to end."""
    return _state.signal is not None


def raise_if_interrupted() -> None:
    """Raises Interrupted if a signal told the process to end, even if that was raised before and somebody caught it."""
    if is_interrupted():
        raise Interrupted


def interrupt(number: int) -> None:
    """Remembers a signal, for a process whose signals another program handles."""
    if _state.signal is None:
        _state.signal = number


def set_advice(text: str) -> None:
    """Sets what the user reads after "Interrupted" when the process ends: what to do next, and where the log is."""
    _state.advice = text


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises Interrupted at the end of the block, in place of its result or error, if a signal has come."""
    try:
        yield
    finally:
        raise_if_interrupted()


@contextmanager
def uninterruptible(*, also_after_signal: bool = False) -> Iterator[None]:
    """Runs a short block as a whole or not at all; only a second signal ends the process in the middle of it.

    Args:
        also_after_signal: run the block even if a signal has come before it, for instance to undo something.

    Raises:
        Interrupted: a signal has come before the block, which then does not run, or during it, after its end.
    """
    with _state.uninterruptible:
        if not also_after_signal:
            raise_if_interrupted()
        yield
    raise_if_interrupted()


@contextmanager
def end_on_signals() -> Iterator[None]:
    """Ends the process with the status 128 + N if the signal N comes during the block: SIGINT, SIGTERM or SIGHUP.

    The first signal ends the child processes and raises Interrupted in the main thread. The process ends when the
    block is left, in whatever way, or after `GRACE_SECONDS`, or at a second signal. A signal that was ignored before,
    as under nohup, stays ignored; one for which somebody else has installed a handler during the block, as uvicorn
    does, is left to that handler. Outside the main thread the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in _WORDS if signal.getsignal(number) is not signal.SIG_IGN]
    # What a command redirects later is not where the last message goes.
    terminal = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else os.open(os.devnull, os.O_WRONLY)
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
            # The exception is raised once; if that is on this line, the outer block is left as usual.
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
        _state.raised, _state.advice = False, ""


def _handle(number: int, frame: FrameType | None) -> None:
    """Runs in the main thread, when Python gets to it."""
    interrupt(number)
    if not _state.raised and not _state.uninterruptible.locked():
        _state.raised = True
        raise Interrupted


def _watch(signals: socket.socket, terminal: int) -> None:
    """Runs in a thread, which learns of a signal even while the main thread is in native code."""
    with signals:
        number = 0
        while number == 0 or signal.getsignal(number) is not _handle:
            received = signals.recv(1)
            if not received:  # The block has been left.
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
    """Kills all child processes: Beam waits for its workers, and nobody else would end them or a server."""
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
        # A terminal or pipe that takes nothing must not hold the process.
        if select.select([], [terminal], [], 0)[1]:
            os.write(terminal, message.encode(errors="replace"))
    os._exit(128 + _state.signal)


def _forget_in_child() -> None:
    """A forked process has the handlers, but not the thread; what it is sent must not end its parent."""
    if any(signal.getsignal(number) is _handle for number in _WORDS):
        signal.set_wakeup_fd(-1)
        for number in _WORDS:
            if signal.getsignal(number) is _handle:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget_in_child)
