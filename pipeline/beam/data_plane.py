"""Keeps output of a Python worker of Beam on disk until a Java engine reads it."""

import logging
import os
import threading
from collections import deque
from queue import Empty
from tempfile import TemporaryFile
from typing import Any

from apache_beam.runners.worker import data_plane

_LOGGER = logging.getLogger(__name__)
_MEMORY_BYTES = 64 << 20
_create_channel = data_plane._GrpcDataChannel.__init__


def keep_unsent_output_on_disk() -> None:
    """Lets the workers of this process keep output that the engine has not read yet in a temporary file.

    Flink and Spark send a task's rows to Python as one bundle. They read its output, except for 100 messages, only at
    the end of the bundle (Beam's SdkHarnessClient.ActiveBundle.close). Since apache/beam pull request 38407, a worker
    blocks at 100 MB of unsent output, so the bundle never ends; before, all of it waited in memory.
    """
    data_plane._GrpcDataChannel.__init__ = _create_channel_on_disk


def _create_channel_on_disk(channel: Any, *arguments: Any, **options: Any) -> None:
    _create_channel(channel, *arguments, **options)
    channel._to_send = DiskQueue()


class DiskQueue:
    """A queue of output messages that takes the place of Beam's ByteLimitedQueue.

    Messages beyond `memory_bytes` wait in a temporary file, so `put` never waits for space.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._memory_left = memory_bytes
        # Pairs of a message and its size. A message in the file is represented by the function that parses it.
        self._messages: deque[tuple[Any, int]] = deque()
        self._file: Any = None
        self._read_from = self._write_to = 0
        self._changed = threading.Condition()

    def put(self, message: Any, size: int) -> None:
        """Appends a message with `size` bytes of data; keeps it in memory if the disk is full."""
        with self._changed:
            # Messages without data, such as Beam's end mark, stay in memory: Beam compares them by identity.
            if size > max(self._memory_left, 0) and (written := self._write(message.SerializeToString())):
                self._messages.append((message.FromString, written))
            else:
                self._memory_left -= size
                self._messages.append((message, size))
            self._changed.notify()

    def get(self) -> Any:
        """Removes and returns the first message; waits until there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages)
            return self._take()

    def get_nowait(self) -> Any:
        """Removes and returns the first message.

        Raises:
            Empty: there is no message.
        """
        with self._changed:
            if not self._messages:
                raise Empty
            return self._take()

    def _take(self) -> Any:
        message, size = self._messages.popleft()
        if not callable(message):
            self._memory_left += size
            return message
        data = os.pread(self._file.fileno(), size, self._read_from)
        self._read_from += size
        if self._read_from == self._write_to:
            self._file.truncate(0)
            self._read_from = self._write_to = 0
        return message(data)

    def _write(self, data: bytes) -> int:
        """Returns the number of bytes that were appended to the file: all, or 0 if there is no space."""
        try:
            if self._file is None:
                self._file = TemporaryFile(prefix="agnews-beam-", buffering=0)  # noqa: SIM115, it lives as long as the queue.
            if os.pwrite(self._file.fileno(), data, self._write_to) == len(data):
                self._write_to += len(data)
                return len(data)
            reason = "no space is left"
        except OSError as error:
            reason = str(error)
        _LOGGER.warning("%d bytes of output stay in memory: no temporary file takes them (%s)", len(data), reason)
        return 0
