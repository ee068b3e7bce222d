"""Prevents a deadlock between a Python worker of Beam and a Java engine."""

from apache_beam.runners.worker import data_plane


def disable_output_buffer_limit() -> None:
    """Disables the limit on unsent output of the workers of this process.

    Flink and Spark send a task's rows to Python as one bundle. They read its output, except for 100 messages, only at
    the end of the bundle (Beam's SdkHarnessClient.ActiveBundle.close). Since apache/beam pull request 38407, a worker
    blocks at 100 MB of unsent output, so the bundle never ends. Without the limit, the output waits in memory.
    """
    data_plane._DEFAULT_SEND_QUEUE_MAX_ELEMENTS = data_plane._DEFAULT_SEND_QUEUE_MAX_BYTES = 0
