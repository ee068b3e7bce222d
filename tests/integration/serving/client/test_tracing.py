"""Tests the spans of the client with OpenTelemetry's own SDK."""

import asyncio
import subprocess
import sys

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from serving.client import AsyncClient, Client, RefusedError, Tracing
from tests.support import ROOT


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def ask_synchronously(server, provider):
    with Client(server.address, tracing=Tracing(provider), max_batch=1) as client:
        client.classify(["oil", "goal"], label="stable")


def ask_in_an_event_loop(server, provider):
    async def ask():
        async with AsyncClient(server.address, tracing=Tracing(provider), max_batch=1) as client:
            await client.classify(["oil", "goal"], label="stable")

    asyncio.run(ask())


@pytest.fixture(params=[ask_synchronously, ask_in_an_event_loop], ids=["sync", "async"])
def ask(request):
    return request.param


def receive_headers(server, received):
    """Keeps the headers of the next two requests."""
    server.script = [lambda request, context: received.append(dict(context.invocation_metadata()))] * 2


def test_a_call_is_one_span_that_the_server_can_continue(server, ask, provider, exporter):
    received = []
    receive_headers(server, received)
    with provider.get_tracer("caller").start_as_current_span("caller") as caller:
        ask(server, provider)
    span = next(span for span in exporter.get_finished_spans() if span.name != "caller")
    assert span.name == "tensorflow.serving.PredictionService/Predict"
    assert (span.kind, span.parent.span_id) == (SpanKind.CLIENT, caller.get_span_context().span_id)
    assert span.attributes["server.address"] == server.address
    assert (span.attributes["agnews.target"], span.attributes["agnews.items"]) == ("model agnews, label stable", 2)
    assert span.status.status_code == StatusCode.UNSET
    expected = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
    assert [headers["traceparent"] for headers in received] == [expected] * 2


def test_the_span_of_a_failed_call_has_the_error(server, ask, provider, exporter, scripted_server):
    server.script = [scripted_server.fails(grpc.StatusCode.INTERNAL, "broken")] * 2
    with pytest.raises(RefusedError):
        ask(server, provider)
    [span] = exporter.get_finished_spans()
    assert span.status.status_code == StatusCode.ERROR
    assert "RefusedError" in span.status.description
    assert "broken" in span.status.description


def test_without_tracing_no_header_is_sent(server):
    received = []
    receive_headers(server, received)
    with Client(server.address) as client:
        client.classify(["oil"])
    assert "traceparent" not in received[0]


def test_a_missing_package_is_an_error_with_the_remedy():
    program = "import sys; sys.modules['opentelemetry'] = None; from serving.client import Tracing; Tracing()"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "ClientError: traces need opentelemetry-api: pip install 'agnews-client[tracing]'" in ended.stderr
