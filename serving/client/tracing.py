"""Records calls as OpenTelemetry spans."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from serving.client.errors import ClientError
from serving.client.protos import METHOD, SERVICE


class Tracing:
    """Records a span per call of `classify`, and sends its context to the server in the header `traceparent`.

    All requests and retries of a call belong to its span. A call that fails has an error in its span.
    """

    def __init__(self, tracer_provider: Any = None):
        """
        Args:
            tracer_provider: an OpenTelemetry TracerProvider; None means the provider of the process.

        Raises:
            ClientError: the package opentelemetry-api is missing.
        """
        try:
            from opentelemetry import propagate, trace
        except ImportError as error:
            raise ClientError("traces need opentelemetry-api: pip install 'agnews-client[tracing]'") from error
        self._tracer = trace.get_tracer("agnews_client", tracer_provider=tracer_provider)
        self._kind = trace.SpanKind.CLIENT
        self._inject = propagate.inject

    @contextmanager
    def record(self, address: str, target: str, count: int) -> Iterator[tuple[tuple[str, str], ...]]:
        """Records the `with` block as a span; yields the metadata of its requests.

        Args:
            address: address of the server.
            target: model and version in words.
            count: number of items.
        """
        attributes: dict[str, str | int] = {
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": METHOD,
            "server.address": address,
            "agnews.target": target,
            "agnews.items": count,
        }
        with self._tracer.start_as_current_span(f"{SERVICE}/{METHOD}", kind=self._kind, attributes=attributes):
            headers: dict[str, str] = {}
            self._inject(headers)
            yield tuple(headers.items())
