"""Runs that get a signal at random moments of every stage: each stops, says so, pushes nothing and alerts nobody."""

import contextlib
import random
import signal
import threading
import time
from dataclasses import dataclass

import psutil
import pytest

from schema.interruption import GRACE_SECONDS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.interrupts

# How long a stage takes, about: the moments are in that time. Those where signals were lost have more of them.
STAGES = {
    "loading": (2, 8.0),
    "AgNewsExampleGen": (3, 4.0),
    "ImportSchemaGen": (1, 0.2),
    "StatisticsGen": (2, 3.0),
    "ExampleValidator": (1, 0.5),
    "ValidationGate": (1, 0.5),
    "Transform": (9, 15.0),
    "Trainer": (4, 12.0),
    "AgNewsInfraValidator": (3, 8.0),
    "Evaluator": (3, 8.0),
    "ModelCardGen": (2, 2.0),
    "AgNewsPusher": (4, 1.5),
}
# A push of so small a model is over before a signal arrives.
SLOW_PUSH = (
    "import time; from components.pusher import component as pusher; flush = pusher.make_readable; "
    "pusher.make_readable = lambda directory: (time.sleep(1.5), flush(directory))"
)
RANDOM = random.Random(20)
CASES = [
    (stage, round(RANDOM.uniform(0, seconds), 2), RANDOM.choice([signal.SIGTERM, signal.SIGINT]))
    for stage, (cases, seconds) in STAGES.items()
    for _ in range(cases)
]
SETTINGS = """
evaluator: {min_accuracy: 0.1, min_label_recall: 0.0, max_accuracy_drop: 1.0, max_label_recall_drop: 1.0}
alerts: {webhook_url: %s}
"""
WORDS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}


@dataclass
class Stopped:
    """A run that was sent a signal, and what was there afterwards."""

    status: int
    output: str
    seconds: float
    pushed_after: list[str]
    alive: list[str]


@pytest.fixture(scope="module")
def sink(http_sink):
    with http_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def newsroom(workplace, sink):
    workplace.make_data("data", rows=800)
    (workplace.directory / "agnews.yaml").write_text(SETTINGS % sink.url)
    return workplace


def processes_of(workplace):
    """Whatever a run has started has its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(workplace.temporary):
                found.append(" ".join(process.cmdline()))
    return found


def is_serving(workplace):
    """Whether the server that InfraValidator starts has loaded the export: it listens then."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(workplace.temporary) and "serving.server" in process.cmdline():
                return bool(process.net_connections())
    return False


def stop(workplace, stage, delay, number, destination):
    """Sends a run the signal so many seconds after the stage began; None where the run had ended before."""
    process = workplace.start("--set", f"pusher.destination={destination}", code=SLOW_PUSH)
    lines, begun = [], threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line)
            if (f"{stage}: running" if stage != "loading" else "run local-") in line:
                begun.set()
        begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait()
    time.sleep(delay)
    if process.poll() is not None or any("next, serve it" in line for line in lines):
        process.wait()
        reader.join()
        assert process.returncode == 0, "".join(lines)
        return None
    sent, began = time.time(), time.monotonic()
    process.send_signal(number)
    status = process.wait(timeout=120)
    seconds = time.monotonic() - began
    alive = processes_of(workplace)
    reader.join()
    versions = (workplace.directory / destination).glob("agnews/[0-9]*")
    # A rename is seen in the change time. The signal takes a moment to arrive.
    late = [version.name for version in versions if version.stat().st_ctime > sent + 0.5]
    return Stopped(status, "".join(lines), seconds, late, alive)


@pytest.mark.parametrize(("stage", "delay", "number"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_a_run_that_gets_a_signal_at_any_moment_stops(newsroom, sink, stage, delay, number):
    # Elsewhere a model that has been pushed is pushed again.
    stopped = stop(newsroom, stage, delay, number, f"serving/{CASES.index((stage, delay, number))}")
    if stopped is None:
        pytest.skip("the run had ended before the signal")
    print(stopped)  # noqa: T201 - pytest shows it when a test fails
    assert stopped.status == 128 + number
    assert WORDS[number] in stopped.output
    assert "failed" not in stopped.output
    assert "Error" not in stopped.output
    assert "Traceback" not in stopped.output
    assert stopped.pushed_after == []
    assert stopped.alive == []
    assert sink.bodies == []
    assert stopped.seconds < GRACE_SECONDS + 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=lambda number: number.name)
def test_a_run_that_is_killed_while_its_server_runs_leaves_no_process(newsroom, number):
    process = newsroom.start("--set", f"pusher.destination=serving/{number.name}")
    reader = threading.Thread(target=process.stdout.read)
    reader.start()
    wait_until(lambda: is_serving(newsroom), 600)
    process.send_signal(number)
    assert process.wait(timeout=60) != 0
    wait_until(lambda: not processes_of(newsroom), 10, message=lambda: processes_of(newsroom))
    reader.join()


def test_the_run_after_all_of_them_ends_well(newsroom, sink):
    from ml_metadata.proto import metadata_store_pb2

    last = newsroom.run()
    assert last.status == 0
    assert "blessed and pushed as version" in last.output
    assert newsroom.leftovers == []
    newsroom.agnews("versions", "verify", "serving_model")  # Every version is in the audit log, as it was pushed.
    states = [execution.last_known_state for execution in newsroom.store().get_executions()]
    assert metadata_store_pb2.Execution.RUNNING not in states
    assert sink.bodies == []
