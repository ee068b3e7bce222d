"""Beam's channel from a Python worker to a Java engine, without a limit at which both stand still."""

from apache_beam.runners.worker import data_plane


def send_without_limit() -> None:
    """Lets the workers of this process hold what their engine does not take yet.

    Flink and Spark give a task's rows to Python as one bundle, and take its output, but for 100 messages, only when the
    bundle has ended (Beam's SdkHarnessClient.ActiveBundle.close). A worker that waits at 100 MB of unsent output, as
    Beam's does since apache/beam pull request 38407, never ends it. As before that, the output waits in memory.
    """
    data_plane._DEFAULT_SEND_QUEUE_MAX_ELEMENTS = data_plane._DEFAULT_SEND_QUEUE_MAX_BYTES = 0
