"""Builds the requests of a `classify` call and reads the responses, independent of how the caller waits for them."""

import math
import time
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

from schema.model_contract import CLASSES, PROBABILITIES, SERVING_DEFAULT, text_columns
from schema.news_items import Classification, NewsItem, split_into_columns, validate
from serving.client.canary import CANARY, STABLE, Canary
from serving.client.errors import InvalidTextError, ModelNotFoundError, RefusedError
from serving.client.protos import (
    DT_FLOAT,
    DT_STRING,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    TensorProto,
)

_LAST_VERSION = 2**63 - 1
_SIGNATURES = "signature_def"

KnownColumns = dict[bytes, tuple[str, ...]]
"""Text columns of the models that were asked, by serialized ModelSpec."""


@dataclass(frozen=True)
class Target:
    """The version of a model to query: by number, by label, by a randomly chosen label, or the server's default."""

    model_name: str
    version: int | None = None
    label: str | None = None
    canary: Canary | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(f"version {self.version} and label {self.label!r} exclude each other")
        if self.version is not None and not 0 <= self.version <= _LAST_VERSION:
            raise ValueError(f"version must be between 0 and {_LAST_VERSION}, got {self.version}")
        for name in filter(None, (self.model_name, self.label)):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise ModelNotFoundError(f"no server knows the name {name!r}: it is no Unicode text") from None

    def spec(self) -> ModelSpec:
        """Returns the ModelSpec of one request, with a label that the canary draws, if there is one."""
        spec = ModelSpec(name=self.model_name, signature_name=SERVING_DEFAULT)
        if self.version is not None:
            spec.version.value = self.version
        elif label := self.label or (self.canary.draw() if self.canary else None):
            spec.version_label = label
        return spec

    def __str__(self) -> str:
        match self:
            case Target(version=int(version)):
                return f"model {self.model_name}, version {version}"
            case Target(label=str(label)):
                return f"model {self.model_name}, label {label}"
            case Target(canary=Canary()):
                return f"model {self.model_name}, labels {STABLE} and {CANARY}"
        return f"model {self.model_name}"


def checked_items(items: Iterable[str | NewsItem]) -> list[NewsItem]:
    """Returns the items after checking them; plain texts become titles.

    Raises:
        InvalidTextError: an item is empty or not a Unicode text.
        TypeError: `items` is a single text, or holds something other than texts and items.
    """
    if isinstance(items, str | NewsItem):
        raise TypeError(f"expected a list of texts or items, got one {type(items).__name__}: put it in a list")
    checked = []
    for index, item in enumerate(items):
        if not isinstance(item, str | NewsItem):
            raise TypeError(f"item {index}: expected a str or NewsItem, got {type(item).__name__}")
        item = NewsItem(item) if isinstance(item, str) else item
        if rejection := validate(item):
            raise InvalidTextError(index, rejection.detail)
        checked.append(item)
    return checked


def exchange(
    items: list[NewsItem],
    target: Target,
    send: Callable[..., Any],
    deadline: float,
    *,
    columns: KnownColumns,
    max_batch: int,
    max_in_flight: int,
) -> Generator[Any, Any, list[Classification]]:
    """Sends the items in batches; yields each call to wait for and receives its response.

    Closing the generator early cancels the requests in flight.

    Args:
        items: valid items.
        target: version to query.
        send: starts a call, given a request and its `timeout` in seconds; its result has a method `cancel`.
        deadline: `time.monotonic()` at which all answers must have arrived.
        columns: as for `ask_columns`.
        max_batch: maximum number of items per request.
        max_in_flight: maximum number of simultaneous requests.

    Returns:
        One answer per item, in the order of the items.

    Raises:
        RefusedError: a response does not hold classes and probabilities.
    """
    waiting: deque[Any] = deque()
    results: list[Classification] = []
    try:
        for start in range(0, len(items), max_batch):
            spec = target.spec()
            names = yield from _columns_of(spec, target, send, deadline, columns)
            request = _request(items[start : start + max_batch], spec, names)
            if len(waiting) == max_in_flight:
                results += _read((yield waiting[0]))
                waiting.popleft()
            waiting.append(send(request, timeout=deadline - time.monotonic()))
        while waiting:
            results += _read((yield waiting[0]))
            waiting.popleft()
    finally:
        for call in waiting:
            call.cancel()
    if len(results) != len(items):
        raise RefusedError(f"{target} gave {len(results)} answers for {len(items)} items")
    return results


def ask_columns(
    target: Target, send: Callable[..., Any], deadline: float, *, columns: KnownColumns
) -> Generator[Any, Any, tuple[str, ...]]:
    """Asks a model for the names of its text columns, unless they are known; otherwise like `exchange`.

    Args:
        target: version to query.
        send: as for `exchange`.
        deadline: as for `exchange`.
        columns: the known columns, to which these are added.

    Raises:
        RefusedError: the model's `SERVING_DEFAULT` reads no texts.
    """
    return (yield from _columns_of(target.spec(), target, send, deadline, columns))


def _columns_of(
    spec: ModelSpec, target: Target, send: Callable[..., Any], deadline: float, columns: KnownColumns
) -> Generator[Any, GetModelMetadataResponse, tuple[str, ...]]:
    key = spec.SerializeToString(deterministic=True)
    names = columns.get(key)  # Another thread may clear them at any moment.
    if names is None:
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=[_SIGNATURES])
        response = yield send(request, timeout=deadline - time.monotonic())
        signatures = SignatureDefMap.FromString(response.metadata[_SIGNATURES].value)
        names = text_columns(signatures.signature_def[SERVING_DEFAULT].inputs)
        if not names:
            raise RefusedError(f"{target}: its {SERVING_DEFAULT} reads no texts")
        columns[key] = names
    return names


def _request(batch: list[NewsItem], spec: ModelSpec, columns: tuple[str, ...]) -> PredictRequest:
    texts = split_into_columns(columns, ((item.title, item.description) for item in batch))
    inputs = {name: _text_tensor(values) for name, values in texts.items()}
    return PredictRequest(model_spec=spec, inputs=inputs, output_filter=[CLASSES, PROBABILITIES])


def _text_tensor(texts: list[str]) -> TensorProto:
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode() for text in texts])
    tensor.tensor_shape.dim.add(size=len(texts))
    return tensor


def _read(response: PredictResponse) -> list[Classification]:
    outputs, version = response.outputs, response.model_spec.version.value
    classes, probabilities = outputs[CLASSES], outputs[PROBABILITIES]
    shape = [dim.size for dim in probabilities.tensor_shape.dim]
    size = math.prod(shape)
    if (
        (classes.dtype, probabilities.dtype) != (DT_STRING, DT_FLOAT)
        or len(shape) != 2
        or not len(classes.string_val) == size > 0
        or len(values := _floats(probabilities, size)) != size
    ):
        raise RefusedError(
            f"model {response.model_spec.name}, version {version}: its {SERVING_DEFAULT} does not answer with "
            f"{CLASSES}, string [batch, classes], and {PROBABILITIES}, float32 of the same shape"
        )
    try:
        names, width = [name.decode() for name in classes.string_val], shape[1]
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"model {response.model_spec.name}, version {version}: a class that it answers with is no UTF-8 text"
        ) from error
    return [Classification.of(names[at : at + width], values[at : at + width], version) for at in range(0, size, width)]


def _floats(tensor: TensorProto, size: int) -> list[float]:
    """Returns the values of a float32 tensor, from one of two fields (tensorflow/core/framework/tensor.proto)."""
    if tensor.tensor_content:
        return array("f", tensor.tensor_content).tolist()
    values = list(tensor.float_val)
    return values + values[-1:] * (size - len(values))  # A shorter list repeats its last value.
