"""The client, for ordinary and for asyncio code; both send and read by `serving.client.exchange`."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import grpc.aio

from serving.client.canary import Canary
from serving.client.connection import Tls, channel_options
from serving.client.errors import from_rpc
from serving.client.exchange import Target, checked_items, exchange
from serving.client.protos import PredictionServiceStub
from serving.items import Classification, NewsItem


class _Base:
    """What both clients are told, and a call before anything is waited for."""

    _insecure_channel: Callable[..., Any]
    _secure_channel: Callable[..., Any]

    def __init__(
        self,
        address: str = "localhost:8500",
        *,
        model_name: str = "agnews",
        timeout: float = 10.0,
        tls: Tls | None = None,
        canary: Canary | None = None,
        keep_alive: float | None = None,
        max_batch: int = 32,
        max_in_flight: int = 4,
    ):
        """
        Args:
            address: `host:port`, or `unix:/path` of a socket.
            model_name: the name the server knows the model by.
            timeout: seconds for a whole call, retries included, unless the call says otherwise.
            tls: for an encrypted connection.
            canary: shares the requests out between two labels, where a call names neither version nor label.
            keep_alive: seconds between pings on an idle connection; see `channel_options`.
            max_batch: items of a request; a server that batches refuses more than its own limit.
            max_in_flight: requests of one call at a time.

        Raises:
            ClientError: a file of `tls` cannot be read.
        """
        if max_batch < 1 or max_in_flight < 1:
            raise ValueError(f"max_batch and max_in_flight must be 1 or more, got {max_batch} and {max_in_flight}")
        self._address = address
        self._model_name = model_name
        self._timeout = timeout
        self._canary = canary
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        options = channel_options(keep_alive)
        self._channel = (
            self._secure_channel(address, tls.credentials(), options)
            if tls
            else self._insecure_channel(address, options)
        )
        self._stub = PredictionServiceStub(self._channel)

    @contextmanager
    def _steps(
        self,
        items: Iterable[str | NewsItem],
        send: Any,
        version: int | None,
        label: str | None,
        timeout: float | None,
    ) -> Iterator[Generator[Any, Any, list[Classification]]]:
        """The exchange of one call; closed at its end, and gRPC's errors turned into the client's."""
        timeout = self._timeout if timeout is None else timeout
        target = Target(self._model_name, version, label, self._canary)
        steps = exchange(
            checked_items(items),
            target,
            send,
            deadline=time.monotonic() + timeout,
            max_batch=self._max_batch,
            max_in_flight=self._max_in_flight,
        )
        try:
            with closing(steps):
                yield steps
        except grpc.RpcError as error:
            raise from_rpc(error, address=self._address, asked=str(target), timeout=timeout) from error


class Client(_Base):
    """Classifies news items by a served model; may be shared by threads.

    Example:
        >>> with Client("localhost:8500") as client:
        ...     [answer] = client.classify(["Oil prices rise"])
        >>> answer.label, answer.model_version
        ('Business', 1795469554)
    """

    _insecure_channel = staticmethod(grpc.insecure_channel)
    _secure_channel = staticmethod(grpc.secure_channel)

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
            items: texts, which count as titles, or items.
            version: asks this version.
            label: asks the version that has this label. Without either the server chooses, or the canary draws.
            timeout: seconds for all answers; None: the client's.

        Returns:
            One answer an item, in their order.

        Raises:
            InvalidTextError: an item is empty or no Unicode text; nothing was sent.
            UnavailableError: no server answers at the address, after retries.
            ModelNotFoundError: no such model, version or label.
            DeadlineError: `timeout` has passed.
            RefusedError: the server does not take the request.
        """
        with self._steps(items, self._stub.Predict.future, version, label, timeout) as steps:
            try:
                call = next(steps)
                while True:
                    call = steps.send(call.result())
            except StopIteration as finished:
                return finished.value

    def close(self) -> None:
        """Ends the connection and what is in flight."""
        self._channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Base):
    """`Client` for asyncio: the same arguments, results and errors. Make it where the event loop runs."""

    _insecure_channel = staticmethod(grpc.aio.insecure_channel)
    _secure_channel = staticmethod(grpc.aio.secure_channel)

    async def classify(
        self,
        items: Iterable[str | NewsItem],
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> list[Classification]:
        """As `Client.classify`; a cancelled task cancels what is in flight."""
        with self._steps(items, self._stub.Predict, version, label, timeout) as steps:
            try:
                call = next(steps)
                while True:
                    call = steps.send(await call)
            except StopIteration as finished:
                return finished.value

    async def close(self) -> None:
        """Ends the connection and what is in flight."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
