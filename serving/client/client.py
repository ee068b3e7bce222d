"""The client, for synchronous and asyncio code; both send and receive with `serving.client.exchange`.

gRPC is imported by the first client, which takes most of the time that an import of this package would take.
"""

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import Any

from schema.news_items import Classification, NewsItem
from serving.client.canary import CANARY, Canary
from serving.client.connection import Tls, channel_options
from serving.client.errors import ClientError, DeadlineError, from_rpc
from serving.client.exchange import KnownColumns, Target, ask_columns, checked_items, exchange
from serving.client.protos import PredictionServiceStub, PredictRequest
from serving.client.shadow import Shadow
from serving.client.tracing import Tracing
from serving.this_machine import proxy_options

# gRPC cannot represent a deadline much further in the future.
_LONGEST_SECONDS = 365 * 86_400.0


class _Base:
    """The arguments of both clients, and the part of a call that does not wait."""

    def __init__(
        self,
        address: str = "localhost:8500",
        *,
        model_name: str = "agnews",
        timeout: float = 10.0,
        tls: Tls | None = None,
        canary: Canary | None = None,
        shadow: Shadow | None = None,
        tracing: Tracing | None = None,
        keep_alive: float | None = None,
        max_batch: int = 32,
        max_in_flight: int = 4,
    ):
        """
        Args:
            address: `host:port`, or `unix:/path` of a socket.
            model_name: name of the model on the server.
            timeout: default limit of a whole call, retries included, seconds.
            tls: settings of an encrypted connection.
            canary: distributes requests between two labels if a call gives neither version nor label.
            shadow: sends a share of the calls to the label `canary` as well, in the background.
            tracing: records calls as OpenTelemetry spans.
            keep_alive: seconds between pings on an idle connection; see `channel_options`.
            max_batch: maximum number of items per request; a server that batches refuses more than its own limit.
            max_in_flight: maximum number of simultaneous requests of one call.

        Raises:
            ClientError: a file of `tls` cannot be read, or the address is empty or not a text.
        """
        if not address or not address.isprintable():
            raise ClientError(f"the address {address!r} names no server; expected host:port or unix:/path")
        if max_batch < 1 or max_in_flight < 1:
            raise ValueError(f"max_batch and max_in_flight must be 1 or more, got {max_batch} and {max_in_flight}")
        self._address = address
        self._model_name = model_name
        self._timeout = timeout
        self._canary = canary
        self._shadow = shadow
        self._tracing = tracing
        self._columns: KnownColumns = {}
        self._exchange = functools.partial(
            exchange, columns=self._columns, max_batch=max_batch, max_in_flight=max_in_flight
        )
        self._options = [*channel_options(keep_alive), *proxy_options(address)]
        self._credentials = tls.credentials() if tls else None
        self._closed = False
        self._prepare()

    def _prepare(self) -> None:
        """Creates the resources of this kind of client; the arguments have been checked."""
        raise NotImplementedError

    def _open(self, grpc_channels: Any) -> Any:
        """Opens a channel of `grpc` or of `grpc.aio`."""
        if self._credentials:
            return grpc_channels.secure_channel(self._address, self._credentials, self._options)
        return grpc_channels.insecure_channel(self._address, self._options)

    def _starts_shadow(self, version: int | None, label: str | None) -> bool:
        """Whether an answered call is also sent to the canary."""
        return self._shadow is not None and version is None and label != CANARY and self._shadow.start()

    def _require_open(self) -> None:
        if self._closed:
            raise ClientError("the client is closed: make another one")

    @contextmanager
    def _steps(
        self,
        make_steps: Callable[..., Generator[Any, Any, Any]],
        start: Callable[[Any], Any],
        stub: PredictionServiceStub,
        version: int | None,
        label: str | None,
        timeout: float | None,
        count: int = 0,
    ) -> Iterator[Generator[Any, Any, Any]]:
        """Yields the steps of one call, closes them at the end, and converts gRPC's errors into the client's.

        Args:
            make_steps: returns the steps, given target, function to send, and deadline.
            start: returns the function that starts a call of a method of the stub.
            stub: methods of the server.
            version: version to query.
            label: label to query.
            timeout: limit, seconds; None means the client's default.
            count: number of items.
        """
        self._require_open()
        timeout = self._timeout if timeout is None else timeout
        if not timeout > 0:  # Not <=: a NaN is not a valid time either.
            raise DeadlineError(f"a timeout of {timeout:g} s leaves no time for an answer: allow more")
        target = Target(self._model_name, version, label, self._canary)
        tracing = self._tracing
        with tracing.record(self._address, str(target), count) if tracing else nullcontext() as metadata:

            def send(request: Any, timeout: float) -> Any:
                method = stub.Predict if isinstance(request, PredictRequest) else stub.GetModelMetadata
                return start(method)(request, timeout=timeout, metadata=metadata)

            steps = make_steps(target, send, time.monotonic() + min(timeout, _LONGEST_SECONDS))
            try:
                with closing(steps):
                    yield steps
            except (Exception, asyncio.CancelledError) as error:
                self._columns.clear()  # A label may have moved to a version with other columns.
                # gRPC raises one of four exception types here, depending on the moment.
                if self._closed and not _is_task_cancelled():
                    raise ClientError("the client was closed before all answers were there") from error
                import grpc

                if isinstance(error, grpc.RpcError):
                    raise from_rpc(error, address=self._address, asked=str(target), timeout=timeout) from error
                raise


def _is_task_cancelled() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # No event loop runs in this thread.
        return False
    # Python 3.10 cannot distinguish a cancelled task from a closed channel.
    return task is not None and getattr(task, "cancelling", int)() > 0


class Client(_Base):
    """Classifies texts with a served model; threads may share a client.

    Example:
        >>> with Client("localhost:8500") as client:
        ...     [answer] = client.classify(["Oil prices rise"])
        >>> answer.label, answer.model_version
        ('Business', 1795469554)
    """

    def _prepare(self) -> None:
        import grpc

        self._channel = self._open(grpc)
        self._stub = PredictionServiceStub(self._channel)

    def classify(
        self,
        items: Iterable[str | NewsItem],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> list[Classification]:
        """Classifies a list of any length.

        Args:
            items: texts, which are used as titles, or items.
            version: version to query.
            label: label of the version to query. Without version and label, the canary chooses, or the
                server if there is no canary.
            timeout: limit for all answers, seconds; None means the client's default.

        Returns:
            One answer per item, in the same order.

        Raises:
            InvalidTextError: an item is empty or not a Unicode text; nothing was sent.
            UnavailableError: no server responds at the address, after retries.
            ModelNotFoundError: the server has no such model, version or label.
            DeadlineError: `timeout` has passed.
            RefusedError: the server does not accept the request.
        """
        items = checked_items(items)
        answers = self._ask(items, version, label, timeout)
        if self._starts_shadow(version, label):
            threading.Thread(target=self._ask_shadow, args=[items, answers, timeout], daemon=True).start()
        return answers

    def text_columns(
        self, *, version: int | None = None, label: str | None = None, timeout: float | None = None
    ) -> tuple[str, ...]:
        """Returns the names of the text columns that a model reads, in order; arguments and errors as for `classify`.

        `NewsItem.of_texts` joins the texts of these columns to an item.
        """
        return self._run(functools.partial(ask_columns, columns=self._columns), version, label, timeout)

    def _ask(
        self, items: list[NewsItem], version: int | None, label: str | None, timeout: float | None
    ) -> list[Classification]:
        return self._run(functools.partial(self._exchange, items), version, label, timeout, len(items))

    def _run(self, make_steps: Callable[..., Any], *target: Any) -> Any:
        with self._steps(make_steps, lambda method: method.future, self._stub, *target) as steps:
            try:
                call = next(steps)
                while True:
                    call = steps.send(call.result())
            except StopIteration as finished:
                return finished.value

    def _ask_shadow(self, items: list[NewsItem], answers: list[Classification], timeout: float | None) -> None:
        assert self._shadow is not None
        try:
            others = self._ask(items, None, CANARY, timeout)
        except Exception as error:
            self._shadow.fail()
            if not isinstance(error, ClientError):
                raise
        else:
            self._shadow.finish(items, answers, others)

    def close(self) -> None:
        """Closes the connection and cancels requests in flight."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Base):
    """`Client` for asyncio, with the same arguments, results and errors.

    A client can be created anywhere, even before an event loop runs, and be used in several event loops. Each loop has
    its own connection, since gRPC binds a connection to its loop.
    """

    def _prepare(self) -> None:
        self._channels: dict[asyncio.AbstractEventLoop, Any] = {}
        self._shadow_tasks: set[asyncio.Task] = set()
        self._lock = threading.Lock()

    def _channel(self) -> Any:
        """Returns the running loop's channel; drops the channels of loops that have ended."""
        self._require_open()  # Otherwise this would open a channel that nobody closes.
        loop = asyncio.get_running_loop()
        with self._lock:
            self._channels = {one: channel for one, channel in self._channels.items() if not one.is_closed()}
            if loop not in self._channels:
                import grpc.aio

                self._channels[loop] = self._open(grpc.aio)
            return self._channels[loop]

    async def classify(
        self,
        items: Iterable[str | NewsItem],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> list[Classification]:
        """Classifies like `Client.classify`; cancelling the task cancels its requests in flight."""
        items = checked_items(items)
        answers = await self._ask(items, version, label, timeout)
        if self._starts_shadow(version, label):
            task = asyncio.create_task(self._ask_shadow(items, answers, timeout))
            self._shadow_tasks.add(task)  # asyncio itself keeps only a weak reference.
            task.add_done_callback(self._shadow_tasks.discard)
        return answers

    async def text_columns(
        self, *, version: int | None = None, label: str | None = None, timeout: float | None = None
    ) -> tuple[str, ...]:
        """Returns the names of the text columns that a model reads, like `Client.text_columns`."""
        return await self._run(functools.partial(ask_columns, columns=self._columns), version, label, timeout)

    async def _ask(
        self, items: list[NewsItem], version: int | None, label: str | None, timeout: float | None
    ) -> list[Classification]:
        return await self._run(functools.partial(self._exchange, items), version, label, timeout, len(items))

    async def _run(self, make_steps: Callable[..., Any], *target: Any) -> Any:
        stub = PredictionServiceStub(self._channel())
        with self._steps(make_steps, lambda method: method, stub, *target) as steps:
            try:
                call = next(steps)
                while True:
                    call = steps.send(await call)
            except StopIteration as finished:
                return finished.value

    async def _ask_shadow(self, items: list[NewsItem], answers: list[Classification], timeout: float | None) -> None:
        assert self._shadow is not None
        try:
            others = await self._ask(items, None, CANARY, timeout)
        except (Exception, asyncio.CancelledError) as error:
            self._shadow.fail()
            if _is_task_cancelled() or not isinstance(error, ClientError | asyncio.CancelledError):
                raise
        else:
            self._shadow.finish(items, answers, others)

    async def close(self) -> None:
        """Closes the running loop's connection and cancels its requests; no loop can use the client afterwards."""
        self._closed = True
        with self._lock:
            channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel:
            await channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
