import pytest

from pipeline.runners.root_cause import root_cause_line

ENGINES = """Pipeline BeamApp-1 failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness
  File "apache_beam/runners/common.py", line 1512, in apache_beam.runners.common.DoFnRunner.process
FileNotFoundError: [Errno 2] No such file or directory: 'items.csv'

During handling of the above exception, another exception occurred:

RuntimeError: FileNotFoundError: [Errno 2] No such file or directory: 'items.csv' [while running 'Read']

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient.onNext(FnApiControlClient.java:180)
\t... 1 more
"""


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
