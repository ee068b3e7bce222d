import threading

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import flink_runner, spark_runner
from apache_beam.runners.worker import data_plane

from pipeline.beam import job_servers
from pipeline.beam.data_plane import disable_output_buffer_limit

LIMITS = ("_DEFAULT_SEND_QUEUE_MAX_ELEMENTS", "_DEFAULT_SEND_QUEUE_MAX_BYTES")


@pytest.fixture(autouse=True)
def _limits_as_before(monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(data_plane, name, getattr(data_plane, name))


def limits():
    return [getattr(data_plane, name) for name in LIMITS]


def all_is_taken():
    """Whether a channel takes more than Beam's limit, with nobody at its other end."""
    channel = data_plane._GrpcDataChannel()

    def send():
        for _ in range(30_000):
            channel._enqueue_to_send(beam_fn_api_pb2.Elements.Data(data=b"x"))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


def test_output_that_nobody_takes_yet_does_not_stop_a_worker():
    assert not all_is_taken()
    disable_output_buffer_limit()
    assert all_is_taken()


@pytest.mark.parametrize(
    ("ours", "beams"),
    [(job_servers.FlinkRunner, flink_runner.FlinkRunner), (job_servers.SparkRunner, spark_runner.SparkRunner)],
)
def test_a_run_on_a_java_engine_has_no_limit(ours, beams, monkeypatch):
    found = []
    monkeypatch.setattr(beams, "run_pipeline", lambda *arguments: found.append(limits()))
    assert limits() != [0, 0]
    ours().run_pipeline(None, None)
    assert found == [[0, 0]]
