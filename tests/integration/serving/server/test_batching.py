"""Tests which requests share a batch, with Python functions as graphs that the tests can pause."""

import gc
import threading
import time
import weakref
from concurrent import futures

import numpy as np
import pytest

from serving.server.batching import Batcher, BatchingOptions
from serving.server.errors import RequestError
from serving.server.metrics import Metrics
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 60
NEVER = float("inf")


class Graph:
    """Doubles its input and records the batches. It waits while `gate` is not set."""

    def __init__(self):
        self.batches = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, arrays, deadline=NEVER):
        self.deadline = deadline
        self.batches.append([array.tolist() for array in arrays])
        self.started.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        return [arrays[0] * 2]


@pytest.fixture
def graph():
    return Graph()


@pytest.fixture
def make_batcher(graph):
    batchers = []

    def make(**options):
        batchers.append(Batcher(BatchingOptions(**options), Metrics()))
        return batchers[-1]

    yield make
    graph.gate.set()
    for batcher in batchers:
        batcher.close()


@pytest.fixture
def pool():
    with futures.ThreadPoolExecutor(16) as pool:
        yield pool


def hold(batcher, graph, pool):
    """Occupies the only batch thread, so that further requests wait in the queue."""
    graph.gate.clear()
    held = pool.submit(batcher.run, graph, [np.array([100.0])], NEVER)
    assert graph.started.acquire(timeout=PATIENCE_SECONDS)
    graph.batches.clear()
    return held


def wait_for_rows(batcher, rows):
    wait_until(lambda: sum(queue.rows for queue in batcher._queues.values()) >= rows, PATIENCE_SECONDS, 0.001)


def run_shared_batch(batcher, graph, pool):
    """Runs two requests in one batch, so that the next request waits for others until the timeout."""
    held = hold(batcher, graph, pool)
    pair = [pool.submit(batcher.run, graph, [np.ones(1)], NEVER) for _ in range(2)]
    wait_for_rows(batcher, 2)
    graph.gate.set()
    for answer in (held, *pair):
        answer.result()
    graph.batches.clear()


def test_queued_requests_share_a_batch_and_get_their_own_rows(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=8)
    held = hold(batcher, graph, pool)
    sent = [np.arange(rows, dtype=np.float64) + 10 * rows for rows in (1, 3, 2)]
    running = [pool.submit(batcher.run, graph, [array], NEVER) for array in sent]
    wait_for_rows(batcher, 6)
    graph.gate.set()
    for array, answer in zip(sent, running, strict=True):
        np.testing.assert_array_equal(answer.result()[0], array * 2)
    assert held.result()[0].tolist() == [200.0]
    assert [sorted(batch[0]) for batch in graph.batches] == [[10.0, 20.0, 21.0, 30.0, 31.0, 32.0]]


def test_a_batch_is_not_larger_than_max_batch_size(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=4)
    hold(batcher, graph, pool)
    running = [pool.submit(batcher.run, graph, [np.ones(3) * n], NEVER) for n in range(4)]
    wait_for_rows(batcher, 12)
    graph.gate.set()
    assert sorted(answer.result()[0].tolist() for answer in running) == [[2.0 * n] * 3 for n in range(4)]
    assert [len(batch[0]) for batch in graph.batches] == [3, 3, 3, 3]


def test_a_large_request_is_split_into_several_batches(make_batcher, graph):
    sent = np.arange(10.0)
    np.testing.assert_array_equal(make_batcher(max_batch_size=4).run(graph, [sent], NEVER)[0], sent * 2)
    assert [len(batch[0]) for batch in graph.batches] == [4, 4, 2]


def test_large_batches_run_in_parts_of_max_execution_batch_size(make_batcher, graph):
    sent = np.arange(5.0)
    batcher = make_batcher(max_batch_size=8, enable_large_batch_splitting=True, max_execution_batch_size=2)
    np.testing.assert_array_equal(batcher.run(graph, [sent], NEVER)[0], sent * 2)
    assert max(len(batch[0]) for batch in graph.batches) == 2


def test_a_batch_runs_until_the_latest_deadline_of_its_requests(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=8)
    held = hold(batcher, graph, pool)
    now = time.monotonic()
    answers = [pool.submit(batcher.run, graph, [np.ones(1)], now + seconds) for seconds in (60, 90)]
    wait_for_rows(batcher, 2)
    graph.gate.set()
    for answer in (held, *answers):
        answer.result()
    assert graph.deadline == now + 90


def test_a_full_batch_does_not_wait_for_the_timeout(make_batcher, graph):
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=3600 * 10**6)
    assert batcher.run(graph, [np.ones(2)], NEVER)[0].tolist() == [2.0, 2.0]


def test_a_single_request_does_not_wait_for_others(make_batcher, graph):
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=3600 * 10**6)
    for number in (1.0, 2.0, 3.0):
        assert batcher.run(graph, [np.array([number])], NEVER)[0].tolist() == [2 * number]
    assert graph.batches == [[[1.0]], [[2.0]], [[3.0]]]


def test_the_rest_of_a_large_request_does_not_wait_for_others(make_batcher, graph):
    batcher = make_batcher(max_batch_size=4, batch_timeout_micros=3600 * 10**6)
    assert batcher.run(graph, [np.ones(6)], NEVER)[0].tolist() == [2.0] * 6


def test_only_the_first_request_after_a_shared_batch_waits(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=4, batch_timeout_micros=200_000)
    run_shared_batch(batcher, graph, pool)
    took = []
    for _ in range(2):
        began = time.monotonic()
        batcher.run(graph, [np.ones(1)], NEVER)
        took.append(time.monotonic() - began)
    assert took[0] >= 0.2 > took[1]


def test_a_waiting_thread_does_not_keep_a_graph_in_memory(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=3600 * 10**6, num_batch_threads=2)
    batcher._last_batch_was_shared = True
    passing = Graph()
    alive = weakref.ref(passing)
    first = pool.submit(batcher.run, passing, [np.ones(1)], NEVER)
    wait_for_rows(batcher, 1)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(batcher._changed._waiters) < 2:  # One thread has seen the request and waits for others.
        assert time.monotonic() < deadline
        time.sleep(0.001)
    # This wakes the other thread, which takes both requests.
    batcher.run(passing, [np.ones(1)], NEVER)
    first.result()
    del passing
    while alive() is not None:
        assert time.monotonic() < deadline, gc.get_referrers(alive())
        gc.collect()


def test_after_a_shared_batch_requests_wait_for_others(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=3600 * 10**6)
    run_shared_batch(batcher, graph, pool)
    running = [pool.submit(batcher.run, graph, [np.ones(1)], NEVER) for _ in range(2)]
    assert [answer.result()[0].tolist() for answer in running] == [[2.0], [2.0]]
    assert len(graph.batches) == 1


def test_batches_are_padded_to_allowed_sizes_and_outputs_are_not(make_batcher, graph):
    batcher = make_batcher(max_batch_size=8, allowed_batch_sizes=(4, 8))
    assert batcher.run(graph, [np.array([5.0, 6.0, 7.0])], NEVER)[0].tolist() == [10.0, 12.0, 14.0]
    assert graph.batches == [[[5.0, 6.0, 7.0, 5.0]]]


@pytest.mark.parametrize(("pads", "batches"), [(True, 1), (False, 2)])
def test_inputs_of_different_lengths_are_padded_or_not_batched(make_batcher, graph, pool, pads, batches):
    batcher = make_batcher(max_batch_size=8, pad_variable_length_inputs=pads)
    hold(batcher, graph, pool)
    running = [pool.submit(batcher.run, graph, [np.ones((1, width))], NEVER) for width in (2, 3)]
    wait_for_rows(batcher, 2)
    graph.gate.set()
    answers = [answer.result()[0] for answer in running]
    assert len(graph.batches) == batches
    assert [answer[0, :2].tolist() for answer in answers] == [[2.0, 2.0]] * 2


@pytest.mark.parametrize(
    ("short", "long", "kind"), [([b"a"], [b"b", b"c"], object), ([5], [6, 7], np.int64), ([0.5], [6, 7], np.float32)]
)
def test_inputs_are_padded_with_their_first_value(make_batcher, graph, pool, short, long, kind):
    """TensorFlow Serving does not use zero or an empty string (batching/batching_util.cc)."""
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=3600 * 10**6, pad_variable_length_inputs=True)
    run_shared_batch(batcher, graph, pool)
    sent = [np.array([row], kind) for row in (short, long)]

    def same(arrays, deadline):
        return arrays

    answers = [pool.submit(batcher.run, same, [array], NEVER) for array in sent]
    assert sorted(answer.result()[0].tolist() for answer in answers) == [[short * 2], [long]]


def test_an_input_without_a_value_cannot_be_padded(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=2, batch_timeout_micros=3600 * 10**6, pad_variable_length_inputs=True)
    run_shared_batch(batcher, graph, pool)
    answers = [pool.submit(batcher.run, graph, [np.ones((1, width))], NEVER) for width in (0, 2)]
    for answer in answers:
        with pytest.raises(RequestError, match="Got empty tensor in batch of non-empty tensors"):
            answer.result()


def test_a_full_queue_is_unavailable(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=2, max_enqueued_batches=1)
    hold(batcher, graph, pool)
    accepted = pool.submit(batcher.run, graph, [np.ones(2)], NEVER)
    wait_for_rows(batcher, 2)
    with pytest.raises(RequestError, match="queue to which this task was submitted is full") as caught:
        batcher.run(graph, [np.ones(1)], NEVER)
    assert caught.value.code.name == "UNAVAILABLE"
    graph.gate.set()
    assert accepted.result()[0].tolist() == [2.0, 2.0]


def test_a_request_that_expired_in_the_queue_is_not_run(make_batcher, graph, pool):
    batcher = make_batcher(max_batch_size=8)
    hold(batcher, graph, pool)
    with pytest.raises(RequestError) as caught:
        batcher.run(graph, [np.array([7.0])], time.monotonic() + 0.01)
    assert caught.value.code.name == "DEADLINE_EXCEEDED"
    alive = pool.submit(batcher.run, graph, [np.array([8.0])], NEVER)
    wait_for_rows(batcher, 2)
    graph.gate.set()
    assert alive.result()[0].tolist() == [16.0]
    assert graph.batches == [[[8.0]]]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ([], "at least one dimension"),
        ([np.array(3.0)], "at least one dimension"),
        ([np.ones(2), np.ones(3)], "equal 0th-dimension size"),
    ],
)
def test_inputs_with_different_numbers_of_rows_are_rejected(make_batcher, graph, arrays, reason):
    with pytest.raises(RequestError, match=reason):
        make_batcher().run(graph, arrays, NEVER)


def test_outputs_with_a_wrong_number_of_rows_are_rejected(make_batcher):
    with pytest.raises(RequestError, match="0th dimension") as caught:
        make_batcher().run(lambda arrays, deadline: [np.ones(5)], [np.ones(2)], NEVER)
    assert caught.value.code.name == "FAILED_PRECONDITION"


def test_threads_continue_after_a_graph_raises(make_batcher, graph):
    batcher = make_batcher()

    def broken(arrays, deadline):
        raise ValueError("no")

    with pytest.raises(RequestError, match="no"):
        batcher.run(broken, [np.ones(1)], NEVER)
    assert batcher.run(graph, [np.ones(1)], NEVER)[0].tolist() == [2.0]


def test_a_batch_can_have_no_rows(make_batcher, graph):
    assert make_batcher(max_batch_size=8, allowed_batch_sizes=(8,)).run(graph, [np.ones(0)], NEVER)[0].tolist() == []
