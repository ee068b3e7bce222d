"""Runs several requests as one batch, like TensorFlow Serving's batching session.

The parameters are those of tensorflow/serving, batching/README.md and batching/batching_session.cc.
"""

import collections
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import numpy as np

from schema.errors import SettingsError
from serving.server.errors import (
    RequestError,
    deadline_exceeded_error,
    failed_precondition_error,
    invalid_argument_error,
    request_error,
)
from serving.server.metrics import Metrics

if TYPE_CHECKING:
    from serving.server.tensors import GraphRun


@dataclass(frozen=True)
class BatchingOptions:
    """Parameters of a batching_parameters_file, with the same names.

    Attributes:
        max_batch_size: maximum number of rows in a batch.
        batch_timeout_micros: maximum time that the first request of a batch waits for others while a thread is free.
            TensorFlow Serving always waits this long. This server skips the wait if no other request is queued and
            the last batch had only one request, so that a single client gets no extra latency.
        max_enqueued_batches: maximum number of batches in a queue. Further requests fail with UNAVAILABLE.
        num_batch_threads: number of batches to run at once.
        allowed_batch_sizes: sizes that batches are padded to. Empty disables padding.
        pad_variable_length_inputs: whether to pad inputs that differ in other dimensions to the largest, with their
            first value. Otherwise they are put into different batches.
        thread_pool_name: label of the metrics.
        enable_large_batch_splitting: whether max_execution_batch_size applies. This server always splits a request
            with more rows than a batch, and TensorFlow Serving rejects it unless this is set.
        max_execution_batch_size: maximum number of rows in a batch, if it is less than max_batch_size. 0 means
            max_batch_size.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    thread_pool_name: str = "batch_threads"
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    @property
    def largest_batch(self) -> int:
        """Maximum number of rows that run at once."""
        split = self.enable_large_batch_splitting and self.max_execution_batch_size
        return self.max_execution_batch_size if split else self.max_batch_size

    @classmethod
    def from_proto(cls, parameters, cores: int) -> "BatchingOptions":
        """Converts a BatchingParameters message.

        Args:
            parameters: the message.
            cores: default of num_batch_threads.

        Raises:
            SettingsError: a value is out of range, or allowed_batch_sizes do not ascend to max_batch_size.
        """
        given = {name.name: value for name, value in parameters.ListFields()}
        values = {name: getattr(value, "value", value) for name, value in given.items()}
        values["allowed_batch_sizes"] = tuple(parameters.allowed_batch_sizes)
        options = cls(**{"num_batch_threads": cores, **values})
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(options, name) < 1:
                raise SettingsError(f"batching parameter {name} is {getattr(options, name)}, it must be at least 1")
        if options.batch_timeout_micros < 0:
            raise SettingsError(
                f"batching parameter batch_timeout_micros is {options.batch_timeout_micros}, it must be at least 0"
            )
        if not 0 <= options.max_execution_batch_size <= options.max_batch_size:
            raise SettingsError(
                f"batching parameter max_execution_batch_size is {options.max_execution_batch_size}, it must be at "
                f"most max_batch_size {options.max_batch_size}"
            )
        sizes = options.allowed_batch_sizes
        if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes)) or sizes[-1] != options.max_batch_size):
            raise SettingsError(
                f"allowed_batch_sizes {list(sizes)} must ascend and end with max_batch_size {options.max_batch_size}"
            )
        return options


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False)
class _BatchTask:
    arrays: Sequence[np.ndarray]
    rows: int
    deadline: float
    enqueued: float
    # Held until the task is done. A plain lock is the cheapest way to wait for a single event.
    pending: threading.Lock = field(default_factory=_held_lock)
    outputs: list[np.ndarray] | None = None
    error: RequestError | None = None


@dataclass(eq=False)
class _Queue:
    run: "GraphRun"
    tasks: collections.deque[_BatchTask] = field(default_factory=collections.deque)
    rows: int = 0


class Batcher:
    """Runs batches in a pool of threads, with one queue per graph and input shape."""

    def __init__(self, options: BatchingOptions, metrics: Metrics):
        self._options = options
        self._metrics = metrics
        self._queuing_latency = metrics.queuing_latency.labels(options.thread_pool_name)
        self._queues: dict[tuple, _Queue] = {}
        self._changed = threading.Condition()
        self._last_batch_was_shared = False
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, run: "GraphRun", arrays: Sequence[np.ndarray], deadline: float) -> list[np.ndarray]:
        """Runs the inputs of a request as part of a batch and waits for its outputs.

        Args:
            run: the graph. Requests with the same graph can share a batch.
            arrays: inputs of the graph. All have the same number of rows.
            deadline: latest time.monotonic() to wait for.

        Returns:
            The outputs of the graph for these rows.

        Raises:
            RequestError: the inputs cannot be batched, the queue is full, the deadline passed, or the batch failed.
        """
        rows = _rows(arrays)
        limit = self._options.largest_batch
        now = time.monotonic()
        starts = range(0, max(rows, 1), limit)
        tasks = [_BatchTask([a[s : s + limit] for a in arrays], min(limit, rows - s), deadline, now) for s in starts]
        self._enqueue(run, tasks)
        for task in tasks:
            # TIMEOUT_MAX, several years, is the longest timeout that the system supports.
            if not task.pending.acquire(timeout=min(max(deadline - time.monotonic(), 0), threading.TIMEOUT_MAX)):
                raise deadline_exceeded_error()
            if task.error:
                raise task.error
        parts = [task.outputs for task in tasks if task.outputs is not None]
        return parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]

    def close(self) -> None:
        """Stops the threads after the queues are empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _enqueue(self, run: "GraphRun", tasks: list[_BatchTask]) -> None:
        arrays = tasks[0].arrays
        shapes = tuple(a.ndim if self._options.pad_variable_length_inputs else a.shape[1:] for a in arrays)
        key = (run, shapes)
        rows = sum(task.rows for task in tasks)
        with self._changed:
            queue = self._queues.setdefault(key, _Queue(run))
            waiting = queue.rows + rows
            if queue.tasks and waiting > self._options.max_batch_size * self._options.max_enqueued_batches:
                raise RequestError(
                    grpc.StatusCode.UNAVAILABLE,
                    f"The batch scheduling queue to which this task was submitted is full; task size is {rows} but "
                    f"{queue.rows} rows wait already",
                )
            queue.tasks.extend(tasks)
            queue.rows = waiting
            self._changed.notify()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            run, tasks = taken
            self._process(run, tasks)
            # A waiting thread must not keep the graph of an unloaded version in memory.
            del taken, run, tasks

    def _take(self) -> "tuple[GraphRun, list[_BatchTask]] | None":
        """Waits for a batch that is due. Returns None when the batcher is closed and the queues are empty."""
        with self._changed:
            while self._queues or not self._closed:
                taken, wait = self._batch_or_wait()
                if taken:
                    return taken
                self._changed.wait(wait)
        return None

    def _batch_or_wait(self) -> "tuple[tuple[GraphRun, list[_BatchTask]] | None, float | None]":
        """Returns a batch that is due, or the seconds until one is due.

        It is a separate function so that a waiting thread refers to no queue, and so to no graph.
        """
        if not self._queues:
            return None, None
        key, queue = min(self._queues.items(), key=lambda item: self._due(item[1]))
        wait = self._due(queue) + self._timeout() - time.monotonic()
        if wait > 0 and not self._closed:
            return None, wait
        tasks = self._pop(queue)
        if not queue.tasks:
            del self._queues[key]
        return (queue.run, tasks), None

    def _due(self, queue: _Queue) -> float:
        """Returns the time at which the oldest request was queued, or -inf if the queue fills a batch."""
        return float("-inf") if queue.rows >= self._options.largest_batch else queue.tasks[0].enqueued

    def _timeout(self) -> float:
        """Returns the seconds that the oldest request waits for others, 0 if no other requests are expected."""
        alone = not self._last_batch_was_shared and sum(len(queue.tasks) for queue in self._queues.values()) == 1
        return 0.0 if alone else self._options.batch_timeout_micros / 1e6

    def _pop(self, queue: _Queue) -> list[_BatchTask]:
        tasks = [queue.tasks.popleft()]
        rows = tasks[0].rows
        while queue.tasks and rows + queue.tasks[0].rows <= self._options.largest_batch:
            tasks.append(queue.tasks.popleft())
            rows += tasks[-1].rows
        queue.rows -= rows
        self._last_batch_was_shared = len(tasks) > 1
        return tasks

    def _process(self, run: "GraphRun", tasks: list[_BatchTask]) -> None:
        now = time.monotonic()
        alive = [task for task in tasks if task.deadline > now]
        for task in tasks:
            self._queuing_latency.observe((now - task.enqueued) * 1e6)
            task.error = deadline_exceeded_error()  # Cleared when the task is run.
        try:
            if alive:
                self._run_batch(run, alive)
        except Exception as error:  # A graph may raise anything. The thread must continue.
            for task in alive:
                task.error = request_error(error)
        for task in tasks:
            task.pending.release()

    def _run_batch(self, run: "GraphRun", tasks: list[_BatchTask]) -> None:
        rows = sum(task.rows for task in tasks)
        padded = next((size for size in self._options.allowed_batch_sizes if size >= rows > 0), rows)
        merged = [_merge([task.arrays[index] for task in tasks], padded) for index in range(len(tasks[0].arrays))]
        self._metrics.batch_size.observe(padded)
        self._metrics.batches.inc()
        outputs = run(merged, max(task.deadline for task in tasks))
        for output in outputs:
            if np.ndim(output) == 0 or len(output) != padded:
                raise failed_precondition_error(
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    "input tensors"
                )
        start = 0
        for task in tasks:
            task.outputs = [output[start : start + task.rows] for output in outputs]
            task.error = None
            start += task.rows


def _rows(arrays: Sequence[np.ndarray]) -> int:
    if not arrays or any(array.ndim == 0 for array in arrays):
        raise invalid_argument_error("Batching Run() input tensors must have at least one dimension")
    if len({len(array) for array in arrays}) > 1:
        raise invalid_argument_error("Batching Run() input tensors must have equal 0th-dimension size")
    return len(arrays[0])


def _merge(arrays: list[np.ndarray], rows: int) -> np.ndarray:
    """Concatenates arrays and repeats the first row until there are `rows` rows."""
    longest = tuple(map(max, zip(*(array.shape[1:] for array in arrays), strict=True)))
    arrays = [_widen(array, longest) for array in arrays]
    missing = rows - sum(map(len, arrays))
    if missing:
        arrays.append(np.repeat(next(array for array in arrays if len(array))[:1], missing, axis=0))
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _widen(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape[1:] == shape:
        return array
    widened: np.ndarray = np.empty((len(array), *shape), array.dtype)
    if widened.size and not array.size:
        raise invalid_argument_error("Got empty tensor in batch of non-empty tensors.")
    widened.fill(array.flat[0] if array.size else 0)
    widened[tuple(slice(size) for size in array.shape)] = array
    return widened
