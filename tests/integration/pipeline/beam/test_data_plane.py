import os
import resource
import tempfile
import threading
from queue import Empty

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import flink_runner, spark_runner
from apache_beam.runners.worker import data_plane

from pipeline.beam import job_servers
from pipeline.beam.data_plane import DiskQueue, keep_unsent_output_on_disk

MEGABYTE = 1 << 20
# More than Beam takes before it waits: 100 MB in each of two queues.
MESSAGES = 250


@pytest.fixture(autouse=True)
def _channels_as_before(monkeypatch):
    monkeypatch.setattr(data_plane._GrpcDataChannel, "__init__", data_plane._GrpcDataChannel.__init__)


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    """Returns a function that returns the bytes in the temporary files of this process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def bytes_in_files():
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        targets = {link: os.readlink(link) for link in links if os.path.islink(link)}
        return sum(os.stat(link).st_size for link, target in targets.items() if str(tmp_path) in target)

    return bytes_in_files


def message(number, size=MEGABYTE):
    return beam_fn_api_pb2.Elements.Data(instruction_id=str(number), data=bytes(size))


def is_all_taken(channel):
    """Whether a channel takes all messages, with nobody at its other end."""

    def send():
        for number in range(MESSAGES):
            channel._enqueue_to_send(message(number))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(5)
    if not thread.is_alive():
        return True
    for _ in range(MESSAGES):
        channel._to_send.get()
    channel.close()
    return False


def test_output_that_nobody_takes_yet_waits_on_disk_and_is_sent(on_disk):
    assert not is_all_taken(data_plane._GrpcDataChannel())
    keep_unsent_output_on_disk()
    channel = data_plane._GrpcDataChannel()
    assert is_all_taken(channel)
    channel.close()
    assert on_disk() > (MESSAGES - 65) * MEGABYTE
    sent = [data for elements in channel._write_outputs() for data in elements.data]
    assert sent == [message(number) for number in range(MESSAGES)]
    assert on_disk() == 0


def test_a_queue_on_disk_keeps_the_order_and_beams_end_mark(on_disk):
    found = DiskQueue(memory_bytes=10)
    end = beam_fn_api_pb2.Elements.Data()
    timers = beam_fn_api_pb2.Elements.Timers(instruction_id="7", timers=b"t" * 50)
    messages = [message(1, 8), message(2, 100), timers, message(3, 2), message(4, 200)]
    for one in messages:
        found.put(one, len(getattr(one, "data", b"") or getattr(one, "timers", b"")))
    found.put(end, 0)
    assert on_disk() > 350
    assert [found.get() for _ in messages] == messages
    assert found.get() is end
    with pytest.raises(Empty):
        found.get_nowait()


def test_a_reader_waits_for_the_first_message():
    found = DiskQueue()
    threading.Timer(0.1, found.put, [message(1, 5), 5]).start()
    assert found.get() == message(1, 5)


def test_without_space_on_disk_output_stays_in_memory(on_disk, caplog):
    found = DiskQueue(memory_bytes=10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MEGABYTE, hard))
    try:
        for number in range(5):
            found.put(message(number), MEGABYTE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 2 * MEGABYTE < on_disk() <= 3 * MEGABYTE
    assert "stay in memory" in caplog.text
    assert [found.get() for _ in range(5)] == [message(number) for number in range(5)]


@pytest.mark.parametrize(
    ("ours", "beams"),
    [(job_servers.FlinkRunner, flink_runner.FlinkRunner), (job_servers.SparkRunner, spark_runner.SparkRunner)],
)
def test_a_run_on_a_java_engine_keeps_output_on_disk(ours, beams, monkeypatch):
    found = []
    monkeypatch.setattr(beams, "run_pipeline", lambda *arguments: found.append(data_plane._GrpcDataChannel()))
    ours().run_pipeline(None, None)
    [channel] = found
    channel.close()
    assert isinstance(channel._to_send, DiskQueue)
