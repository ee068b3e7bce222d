import logging
import os
import subprocess
import sys
import warnings

import pytest

from pipeline.runners.logs import FieldsFormatter, logged_to, root_cause_line
from tests.support import ROOT

ENGINES = """Pipeline BeamApp-1 failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness
  File "apache_beam/runners/common.py", line 1512, in apache_beam.runners.common.DoFnRunner.process
FileNotFoundError: [Errno 2] No such file or directory: 'items.csv'

During handling of the above exception, another exception occurred:

RuntimeError: FileNotFoundError: [Errno 2] No such file or directory: 'items.csv' [while running 'Read']

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient.onNext(FnApiControlClient.java:180)
\t... 1 more
"""


def test_fields_follow_the_message():
    record = logging.LogRecord("components.x", logging.INFO, "", 0, "epoch done", None, None)
    record.fields = {"epoch": 1, "loss": 0.3}
    assert FieldsFormatter().format(record).endswith("INFO components.x: epoch done epoch=1 loss=0.3")


def test_fields_stand_on_the_events_line_before_a_trace():
    error = (ValueError, ValueError("x"), None)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", None, error)
    record.fields = {"component": "Trainer"}
    assert FieldsFormatter().format(record).splitlines()[0].endswith("failed component=Trainer")


# Runs in a separate process, because pytest redirects the descriptors of this one.
_NOISY = """
import logging, os, sys
from pathlib import Path
from pipeline.runners.logs import logged_to
with logged_to(Path(sys.argv[1]), verbose=sys.argv[2] == "verbose") as terminal:
    os.write(2, b"native noise\\n")
    print("python noise")
    logging.getLogger("x").info("event", extra={"fields": {"a": 1}})
    print("for the user", file=terminal)
print("after")
"""


@pytest.mark.parametrize(
    ("mode", "shown", "hidden"),
    [
        ("quiet", ["for the user", "after"], ["native noise", "python noise", "event a=1"]),
        ("verbose", ["for the user", "after", "python noise", "event a=1"], []),
    ],
)
def test_noise_goes_to_the_log_and_the_rest_to_the_terminal(tmp_path, mode, shown, hidden):
    environment = os.environ | {"PYTHONUNBUFFERED": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _NOISY, str(tmp_path / "logs/run.log"), mode]
    output = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    log = (tmp_path / "logs/run.log").read_text()
    assert [text for text in shown if text not in output] == []
    assert [text for text in hidden if text in output] == []
    assert [text for text in hidden if text not in log] == []
    assert "event a=1" in log


def test_logging_is_as_before_afterwards(tmp_path):
    root, other = logging.getLogger(), logging.getLogger("noisy")
    before = root.handlers[:], root.level
    assert not other.isEnabledFor(logging.INFO)
    with logged_to(tmp_path / "run.log", verbose=True):
        assert root.handlers != before[0]
        assert other.isEnabledFor(logging.INFO)
    assert (root.handlers, root.level) == before
    assert not other.isEnabledFor(logging.INFO)


def test_a_second_run_adds_to_the_log(tmp_path):
    for word in ("first", "second"):
        with logged_to(tmp_path / "run.log", verbose=True):
            logging.getLogger("x").info(word)
    assert [line.split()[-1] for line in (tmp_path / "run.log").read_text().splitlines()] == ["first", "second"]


def test_logging_is_as_before_after_an_error(tmp_path):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with pytest.raises(ValueError, match="failed"), logged_to(tmp_path / "run.log", verbose=True):
        raise ValueError("failed")
    assert (root.handlers, root.level) == before


def test_warnings_are_in_the_log(tmp_path):
    with logged_to(tmp_path / "run.log", verbose=True), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("out of date", UserWarning, stacklevel=1)
    assert "out of date" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a file is missing", "a file is missing"),
        ("Node: 'x' defined at\nrunpy.py, line 196\n  out of memory\n", "out of memory"),
        ("syntax error at E'x\n         ^\n", "syntax error at E'x"),
        (ENGINES, "RuntimeError: FileNotFoundError: [Errno 2] No such file or directory: 'items.csv'"),
        ("", "no message"),
    ],
)
def test_one_line_says_what_happened(text, expected):
    assert root_cause_line(RuntimeError(text)) == expected
