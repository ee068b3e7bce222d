"""Redirects the output of TFX, TensorFlow and Beam from the terminal to a log file, and finds the cause in an error."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_BEAMS_PLACE = " [while running '"


class FieldsFormatter(logging.Formatter):
    """Formats one line per event: time, level, logger, message, then the event's fields as key=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in fields.items())])


@contextmanager
def logged_to_stderr() -> Iterator[logging.Logger]:
    """Writes Python's logging to standard error in the `with` block, with the fields of events; yields a logger."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter())
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)  # A hundred lines about types.
    try:
        yield logging.getLogger(__name__)
    finally:
        root.handlers, level = before
        root.setLevel(level)


@contextmanager
def logged_to(path: Path, *, verbose: bool) -> Iterator[TextIO]:
    """Redirects Python's logging, standard output and standard error to a file.

    Native code writes to the file descriptors, so these are redirected.

    Args:
        path: the log file; new lines are appended.
        verbose: do not redirect standard output and error, and write Python's logging to both file and terminal.

    Yields:
        A stream to the original standard output, for messages to the user.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with open(path, "a", encoding="utf-8") as log, os.fdopen(os.dup(1), "w", 1, encoding="utf-8") as terminal:
        handlers: list[logging.Handler] = [logging.StreamHandler(log)]
        if verbose:
            handlers.append(logging.StreamHandler(terminal))
        for handler in handlers:
            handler.setFormatter(FieldsFormatter())
        root.handlers = handlers
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)
        saved = [] if verbose else _redirect(log)
        try:
            yield terminal
        finally:
            _flush()
            for descriptor, copy in saved:
                os.dup2(copy, descriptor)
                os.close(copy)
            logging.captureWarnings(False)
            root.handlers, level = before
            # setLevel, not an assignment: it clears the levels that loggers have cached.
            root.setLevel(level)


def _redirect(log: TextIO) -> list[tuple[int, int]]:
    saved = []
    _flush()
    for descriptor in (1, 2):
        saved.append((descriptor, os.dup(descriptor)))
        os.dup2(log.fileno(), descriptor)
    return saved


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def root_cause_line(error: Exception) -> str:
    """Returns the root cause of an error, without the stack traces that libraries put into their messages.

    TensorFlow writes the call path first and the cause last; a database adds a line with a caret below the cause. Flink
    and Spark wrap the trace of Beam's Python worker, whose last line contains Beam's step, in Java stack traces.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
    of_workers = [line.partition(_BEAMS_PLACE)[0] for line in lines if _BEAMS_PLACE in line]
    return (of_workers or lines or ["no message"])[-1]
