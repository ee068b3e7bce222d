import array
import asyncio
import random
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import (
    AsyncClient,
    Canary,
    Client,
    ClientError,
    DeadlineError,
    InvalidTextError,
    ModelNotFoundError,
    NewsItem,
    RefusedError,
    Tls,
    UnavailableError,
)
from serving.client.exchange import checked_items


def ask_synchronously(server, items, *, options=None, **call):
    with Client(server.address, **options or {}) as client:
        return client.classify(items, **call)


def ask_in_an_event_loop(server, items, *, options=None, **call):
    async def ask():
        async with AsyncClient(server.address, **options or {}) as client:
            return await client.classify(items, **call)

    return asyncio.run(ask())


@pytest.fixture(params=[ask_synchronously, ask_in_an_event_loop], ids=["sync", "async"])
def ask(request):
    """Classifies with both clients."""
    return request.param


def test_an_answer_has_label_probabilities_and_version(server, ask):
    [answer] = ask(server, ["oil prices"])
    assert (answer.label, answer.model_version) == ("Business", 2)
    assert answer.probability == answer.probabilities["Business"] == max(answer.probabilities.values())
    assert list(answer.probabilities) == ["World", "Sports", "Business", "Sci/Tech"]
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_a_plain_text_is_sent_as_a_title(server, ask):
    ask(server, ["oil prices", NewsItem("goal", "in the last minute")])
    [request] = server.requests
    assert list(request.inputs["title"].string_val) == [b"oil prices", b"goal"]
    assert list(request.inputs["description"].string_val) == [b"", b"in the last minute"]
    assert request.model_spec.signature_name == "serving_default"


def test_texts_are_sent_under_the_columns_of_the_model(server, ask):
    server.columns = ["betreff", "inhalt", "anhang"]
    answers = ask(server, [NewsItem("oil", "goal"), NewsItem.of_texts(["a", "chip", "chip"])])
    assert [answer.label for answer in answers] == ["Sports", "Sci/Tech"]
    [request] = server.requests
    sent = {name: [text.decode() for text in tensor.string_val] for name, tensor in request.inputs.items()}
    assert sent == {"betreff": ["oil", "a"], "inhalt": ["goal", "chip chip"], "anhang": ["", ""]}


def test_columns_are_asked_for_again_after_a_refusal(server):
    with Client(server.address) as client:
        client.classify(["oil"], label="stable")
        server.columns = ["inhalt"]  # The label moved to a version of another data set.
        with pytest.raises(RefusedError):
            client.classify(["oil"], label="stable")
        assert client.classify([NewsItem("oil", "oil")], label="stable")[0].label == "Business"
        assert client.text_columns(label="stable") == ("inhalt",)


def test_a_model_without_texts_is_refused(server, ask):
    server.columns = []
    with pytest.raises(RefusedError, match="its serving_default reads no texts"):
        ask(server, ["oil"])


def test_a_long_list_is_sent_in_batches_and_answered_in_order(server, ask):
    words = ["oil", "goal", "chip", "ministers"] * 25
    answers = ask(server, words, options={"max_batch": 8, "max_in_flight": 3})
    assert [answer.label for answer in answers] == ["Business", "Sports", "Sci/Tech", "World"] * 25
    assert [len(request.inputs["title"].string_val) for request in server.requests].count(8) == 12
    assert server.most_at_once <= 3


def test_requests_are_in_flight_together(server, ask):
    both_there = threading.Barrier(2)
    server.script = [lambda request, context: both_there.wait(timeout=10)] * 2
    assert len(ask(server, ["oil"] * 2, options={"max_batch": 1, "max_in_flight": 2})) == 2


def test_an_empty_list_asks_nothing(server, ask):
    assert ask(server, []) == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("chosen", "version"), [({"version": 1}, 1), ({"label": "canary"}, 2), ({"label": "stable"}, 1)]
)
def test_a_version_is_chosen_by_number_or_label(server, ask, chosen, version):
    assert ask(server, ["oil"], **chosen)[0].model_version == version


def test_version_zero_is_a_version(server, ask):
    with pytest.raises(ModelNotFoundError, match="version 0"):
        ask(server, ["oil"], version=0)
    assert server.requests[0].model_spec.HasField("version")


def test_version_and_label_exclude_each_other(server, ask):
    with pytest.raises(ValueError, match="exclude each other"):
        ask(server, ["oil"], version=1, label="stable")


@pytest.mark.parametrize(
    ("options", "chosen", "message"),
    [
        ({"model_name": "other"}, {}, "does not serve model other"),
        ({}, {"version": 7}, "does not serve model agnews, version 7"),
        ({}, {"label": "gold"}, "label gold"),
    ],
)
def test_an_unknown_model_version_or_label_is_named(server, ask, options, chosen, message):
    with pytest.raises(ModelNotFoundError, match=message):
        ask(server, ["oil"], options=options, **chosen)


def test_unavailable_is_tried_again(server, ask, scripted_server):
    server.script = [scripted_server.fails(grpc.StatusCode.UNAVAILABLE)] * 2
    assert ask(server, ["oil"])[0].label == "Business"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, RefusedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineError),
        (grpc.StatusCode.INVALID_ARGUMENT, RefusedError),
        (grpc.StatusCode.INTERNAL, RefusedError),
    ],
)
def test_other_failures_are_not_tried_again(server, ask, scripted_server, code, error):
    server.script = [scripted_server.fails(code)]
    with pytest.raises(error):
        ask(server, ["oil"])
    assert len(server.requests) == 1


def test_a_server_that_stays_unavailable_is_given_up(server, ask, scripted_server):
    server.script = [scripted_server.fails(grpc.StatusCode.UNAVAILABLE, "overloaded")] * 100
    with pytest.raises(UnavailableError, match="overloaded"):
        ask(server, ["oil"])
    assert len(server.requests) == 5


def test_retries_keep_the_deadline(server, ask, scripted_server):
    server.script = [scripted_server.fails(grpc.StatusCode.UNAVAILABLE)] * 100
    begun = time.monotonic()
    with pytest.raises((DeadlineError, UnavailableError)):
        ask(server, ["oil"], timeout=0.15)
    assert time.monotonic() - begun < 2


def test_no_server_is_said_with_its_address_and_what_to_do(ask, scripted_server):
    with scripted_server.serving() as server:
        pass
    with pytest.raises(UnavailableError, match=f"nothing listens at {server.address}: .*agnews serve"):
        ask(server, ["oil"])


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "[::1]:{}", "unix:{}"])
def test_a_server_that_is_down_is_reported_before_a_short_deadline(ask, scripted_server, tmp_path, address):
    with scripted_server.serving() as server:
        pass
    gone = tmp_path / "gone.sock" if address.startswith("unix") else server.address.rpartition(":")[2]
    with pytest.raises(UnavailableError) as caught:
        ask(SimpleNamespace(address=address.format(gone)), ["oil"], timeout=1.0)
    assert str(caught.value).startswith(f"nothing listens at {address.format(gone)}: ")


@pytest.mark.parametrize("address", ["192.0.2.1:8500", "no-such-host.invalid:8500"])
def test_after_a_deadline_no_other_machine_is_tried(monkeypatch, address):
    """A connection that gets no answer would block the event loop and exceed the deadline."""
    tried = []
    monkeypatch.setattr("socket.create_connection", lambda *target: tried.append(target) or socket.socket())

    async def ask():
        async with AsyncClient(address) as client:
            await client.classify(["oil"], timeout=0.2)

    with pytest.raises((DeadlineError, UnavailableError), match=address):
        asyncio.run(ask())
    assert not tried


def test_a_restarted_server_is_found_again(scripted_server):
    with scripted_server.serving() as server:
        client = Client(server.address)
        client.classify(["oil"])
    with client:
        with pytest.raises(UnavailableError):
            client.classify(["oil"])
        with scripted_server.serving(address="127.0.0.1:" + server.address.rpartition(":")[2]):
            assert client.classify(["oil"])[0].label == "Business"


def test_one_deadline_holds_for_all_batches(server, ask):
    release = threading.Event()
    server.script = [lambda request, context: None, lambda request, context: release.wait(30)]
    begun = time.monotonic()
    with pytest.raises(DeadlineError, match=r"within 2 s"):
        ask(server, ["oil"] * 3, options={"max_batch": 1, "max_in_flight": 1}, timeout=2)
    release.set()
    assert time.monotonic() - begun < 20
    assert len(server.requests) == 2


def test_a_failed_batch_cancels_the_others(server, ask, scripted_server):
    cancelled, entered = threading.Event(), threading.Event()

    def wait_to_be_cancelled(request, context):
        context.add_callback(cancelled.set)
        entered.set()
        cancelled.wait(20)

    def fail_when_the_other_is_there(request, context):
        entered.wait(20)
        context.abort(grpc.StatusCode.INTERNAL, "scripted")

    def by_text(request, context):
        first = request.inputs["title"].string_val[0] == b"first"
        (fail_when_the_other_is_there if first else wait_to_be_cancelled)(request, context)

    server.script = [by_text, by_text]
    with pytest.raises(RefusedError, match="scripted"):
        ask(server, ["first", "second"], options={"max_batch": 1}, timeout=30)
    assert cancelled.wait(10)


def test_a_cancelled_task_cancels_its_requests(server):
    cancelled, entered = threading.Event(), threading.Event()

    def wait_to_be_cancelled(request, context):
        context.add_callback(cancelled.set)
        entered.set()
        cancelled.wait(20)

    server.script = [wait_to_be_cancelled]

    async def cancel_it():
        async with AsyncClient(server.address) as client:
            task = asyncio.create_task(client.classify(["oil"], timeout=30))
            await asyncio.to_thread(entered.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(cancelled.wait, 10)

    asyncio.run(cancel_it())


@pytest.mark.parametrize("bad", ["", "  \n", NewsItem("", " "), "\ud800", NewsItem("oil", "\udc9f")])
def test_a_bad_item_is_named_before_anything_is_sent(server, ask, bad):
    with pytest.raises(InvalidTextError, match="item 1") as raised:
        ask(server, ["oil", bad])
    assert raised.value.index == 1
    assert server.requests == []


@pytest.mark.parametrize("items", ["oil", NewsItem("oil"), [b"oil"], [None], [("oil", "rises")]])
def test_other_types_are_a_programming_mistake(server, ask, items):
    with pytest.raises(TypeError, match=r"put it in a list|expected a str or NewsItem"):
        ask(server, items)


@given(title=st.text(), description=st.text())
@settings(max_examples=200, deadline=None)
def test_an_item_is_either_bad_or_can_be_sent(title, description):
    item = NewsItem(title, description)
    try:
        [checked] = checked_items([item])
    except InvalidTextError:
        assert not (title + description).strip() or any("\ud800" <= c <= "\udfff" for c in title + description)
    else:
        assert (checked.title.encode() + checked.description.encode()).strip()


def test_probabilities_may_stand_in_the_tensors_content(server, ask):
    def pack(response):
        scores = response.outputs["probabilities"]
        scores.tensor_content = array.array("f", scores.float_val).tobytes()
        del scores.float_val[:]

    usual = ask(server, ["oil", "goal"])
    server.change_response = pack
    assert ask(server, ["oil", "goal"]) == usual


def spoiled(change):
    return pytest.param(change, id=change.__name__)


def without_probabilities(response):
    del response.outputs["probabilities"]


def with_a_row_missing(response):
    for name, field in (("classes", "string_val"), ("probabilities", "float_val")):
        del getattr(response.outputs[name], field)[-4:]
        response.outputs[name].tensor_shape.dim[0].size -= 1


def with_other_shapes(response):
    del response.outputs["probabilities"].tensor_shape.dim[-1]


def with_too_few_classes(response):
    del response.outputs["classes"].string_val[-1]


def of_no_rows(response):
    for name, field in (("classes", "string_val"), ("probabilities", "float_val")):
        del getattr(response.outputs[name], field)[:]
        response.outputs[name].tensor_shape.dim[1].size = 0


def with_a_class_that_is_no_text(response):
    response.outputs["classes"].string_val[0] = b"\xff"


@pytest.mark.parametrize(
    "change",
    map(
        spoiled,
        [
            *(without_probabilities, with_a_row_missing, with_other_shapes, with_too_few_classes, of_no_rows),
            with_a_class_that_is_no_text,
        ],
    ),
)
def test_an_answer_that_is_none_is_refused(server, ask, change):
    server.change_response = change
    with pytest.raises(RefusedError):
        ask(server, ["oil", "goal"])


def test_a_seeded_canary_gets_its_share_and_the_same_requests_each_time(server, ask):
    def versions(seed):
        options = {"canary": Canary(0.25, random.Random(seed)), "max_batch": 1}
        return [answer.model_version for answer in ask(server, ["oil"] * 200, options=options)]

    assert 30 <= versions(1).count(2) <= 70
    assert versions(1) == versions(1) != versions(2)


@pytest.mark.parametrize(("share", "label"), [(0.0, "stable"), (1.0, "canary")])
def test_a_share_of_none_or_all_goes_to_one_label(server, ask, share, label):
    ask(server, ["oil"] * 20, options={"canary": Canary(share), "max_batch": 1})
    assert {request.model_spec.version_label for request in server.requests} == {label}


def test_a_named_version_or_label_is_not_drawn(server, ask):
    options = {"canary": Canary(1.0)}
    assert ask(server, ["oil"], options=options, version=1)[0].model_version == 1
    assert ask(server, ["oil"], options=options, label="stable")[0].model_version == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_none_and_all(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Canary(share)


def test_threads_may_share_a_client(server):
    with Client(server.address, max_batch=4) as client:
        answers = {}

        def classify(word):
            answers[word] = {answer.label for answer in client.classify([word] * 40)}

        threads = [threading.Thread(target=classify, args=(word,)) for word in ("oil", "goal", "chip", "ministers")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {"oil": {"Business"}, "goal": {"Sports"}, "chip": {"Sci/Tech"}, "ministers": {"World"}}


def test_the_client_imports_no_tensorflow_and_can_be_next_to_it():
    code = """
import sys
import serving.client
assert not [name for name in sys.modules if name.partition(".")[0].startswith("tensorflow")]
from serving.client.protos import TensorProto
import tensorflow as tf
original = tf.make_tensor_proto(["a", "b"])
assert original.__class__ is not TensorProto
assert TensorProto.FromString(original.SerializeToString()).string_val == [b"a", b"b"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("version", [-1, 2**63, 2**70])
def test_a_version_that_is_none_is_a_programming_mistake(server, ask, version):
    with pytest.raises(ValueError, match="version must be between 0 and"):
        ask(server, ["oil"], version=version)


def test_one_asyncio_client_serves_one_event_loop_after_the_other(server):
    client = AsyncClient(server.address)
    for _ in range(2):
        assert asyncio.run(client.classify(["oil"]))[0].label == "Business"


def test_event_loops_of_several_threads_may_share_an_asyncio_client(server):
    client, answers = AsyncClient(server.address), []

    def run():
        for _ in range(5):
            answers.extend(asyncio.run(client.classify(["oil"])))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.label for answer in answers] == ["Business"] * 15


def test_an_asyncio_client_may_be_closed_in_another_event_loop(server):
    client = AsyncClient(server.address)
    asyncio.run(client.classify(["oil"]))
    asyncio.run(client.close())
    with pytest.raises(ClientError, match="closed"):
        asyncio.run(client.classify(["oil"]))


def test_a_client_that_was_never_asked_can_be_closed():
    Client().close()
    asyncio.run(AsyncClient().close())


def test_a_closed_client_says_so(server):
    with Client(server.address) as client:
        client.classify(["oil"])
    with pytest.raises(ClientError, match="the client is closed: make another"):
        client.classify(["oil"])
    assert len(server.requests) == 1


def test_a_client_closed_by_another_thread_says_so(server):
    entered, release = threading.Event(), threading.Event()
    server.script = [lambda request, context: (entered.set(), release.wait(20))]
    client = Client(server.address)
    closing = threading.Thread(target=lambda: (entered.wait(20), client.close()))
    closing.start()
    with pytest.raises(ClientError, match="the client was closed"):
        client.classify(["oil"], timeout=30)
    closing.join()
    release.set()


def test_an_asyncio_client_closed_by_another_task_says_so(server):
    entered, release = threading.Event(), threading.Event()
    server.script = [lambda request, context: (entered.set(), release.wait(20))]

    async def close_while_it_waits():
        client = AsyncClient(server.address)
        task = asyncio.create_task(client.classify(["oil"], timeout=30))
        await asyncio.to_thread(entered.wait, 20)
        await client.close()
        with pytest.raises(ClientError, match="the client was closed"):
            await task

    asyncio.run(close_while_it_waits())
    release.set()


def test_files_of_tls_are_read_when_an_asyncio_client_is_made(tmp_path):
    with pytest.raises(ClientError, match=r"gone\.pem"):
        AsyncClient(tls=Tls(tmp_path / "gone.pem"))


@pytest.mark.parametrize("address", ["", "no such host:1", "http://localhost:8500", "localhost", ":::", "\x00", "é:1"])
def test_an_address_that_is_none_is_a_clients_error(ask, address):
    with pytest.raises(ClientError, match="address"):
        ask(SimpleNamespace(address=address), ["oil"], options={"timeout": 5})


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_no_time_is_a_deadline_that_has_passed(server, ask, timeout):
    with pytest.raises(DeadlineError):
        ask(server, ["oil"], timeout=timeout)


def test_time_without_end_is_as_much_as_it_takes(server, ask):
    assert ask(server, ["oil"], timeout=float("inf"))[0].label == "Business"


@pytest.mark.parametrize("options", [{"model_name": "\udc9f"}, {}])
def test_a_name_that_is_no_text_is_a_clients_error(server, ask, options):
    with pytest.raises(ModelNotFoundError, match="no Unicode text"):
        ask(server, ["oil"], options=options, **({} if options else {"label": "\udc9f"}))
