"""The sampled request log: what of each answer monitoring needs, and no text.

Configured where TensorFlow Serving configures it, in a model's `logging_config` of the ModelServerConfig; without one
nothing is logged. `log_collector_config.type` must be "tfrecord_features": the names of collectors are the builder's
own (core/log_collector.h), and the stock server has none. A request only ever leaves a reference in a bounded queue;
a thread derives and writes the record, and what does not fit or cannot be written is counted and forgotten.
"""

import contextlib
import glob
import logging
import os
import random
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import logging_pb2, model_pb2, prediction_log_pb2
from tensorflow_serving.config import logging_config_pb2

from schema.features import DESCRIPTION, TITLE
from schema.files import make_directory
from schema.model_contract import OOV_ID, PADDING_ID, TOKEN_IDS, TRANSFORM_FEATURES
from serving.prediction_logs import LoggedText, logged_texts, without_texts
from serving.server.manager import Manager
from serving.server.metrics import Metrics
from serving.server.servable import Servable
from serving.server.status import from_exception

_log = logging.getLogger(__name__)

_LOGGED = {"Predict": "predict_log", "Classify": "classify_log"}
_MAX_WAITING = 1000
_MAX_WAITING_BYTES = 16 << 20
_MAX_FILE_BYTES = 64 << 20
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class _Waiting:
    """An answer that is to be logged. `written` is POSIX seconds."""

    config: logging_config_pb2.LoggingConfig
    spec: model_pb2.ModelSpec
    log: str
    request: message.Message
    response: message.Message
    written: int
    size: int


class RequestLog:
    """Logs answers of the models whose configuration asks for it; a thread of its own writes."""

    def __init__(self, manager: Manager, metrics: Metrics, *, keep_days: float):
        """`keep_days`: files of the log are removed when they are that old."""
        self._manager = manager
        self._metrics = metrics
        self._keep_days = keep_days
        self._files: dict[str, _Files] = {}
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._closed = False
        self._failing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def offer(self, api: str, model: str, version: int, request: message.Message, response: message.Message) -> None:
        """Takes an answer with the probability that is configured for its model. Never waits."""
        config = next(
            (one.logging_config for one in self._manager.config.model_config_list.config if one.name == model), None
        )
        if api not in _LOGGED or config is None or random.random() >= config.sampling_config.sampling_rate:
            return
        spec = model_pb2.ModelSpec(name=model)
        spec.version.value = version
        size = request.ByteSize() + response.ByteSize()
        waiting = _Waiting(config, spec, _LOGGED[api], request, response, int(time.time()), size)
        with self._changed:
            full = len(self._waiting) >= _MAX_WAITING or self._bytes + size > _MAX_WAITING_BYTES
            if not full:
                self._waiting.append(waiting)
                self._bytes += size
                self._changed.notify()
        if full:
            self._metrics.request_logs.labels(model, "RESOURCE_EXHAUSTED").inc()

    def close(self, grace_seconds: float) -> None:
        """Writes what waits, as far as the grace suffices, and ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(grace_seconds)

    def _work(self) -> None:
        while (waiting := self._take()) is not None:
            self._log_one(waiting)
        for files in self._files.values():
            files.close()

    def _take(self) -> _Waiting | None:
        """Waits for the next; None when the log is closed and all is written."""
        if not self._waiting:
            # Not under the lock, for which requests would wait.
            for files in self._files.values():
                files.flush()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            waiting = self._waiting.popleft()
            self._bytes -= waiting.size
            return waiting

    def _log_one(self, waiting: _Waiting) -> None:
        status = "OK"
        try:
            if not self._write(waiting):
                return
            self._failing = False
        except Exception as error:  # A full disk or a strange answer must not end the thread.
            refusal = from_exception(error)
            status = refusal.code.name
            if not self._failing:
                _log.warning("request not logged model=%s error=%s", waiting.spec.name, refusal.message)
            self._failing = True
        self._metrics.request_logs.labels(waiting.spec.name, status).inc()

    def _write(self, waiting: _Waiting) -> bool:
        full = prediction_log_pb2.PredictionLog()
        log = getattr(full, waiting.log)
        log.request.CopyFrom(waiting.request)
        log.response.CopyFrom(waiting.response)
        texts = logged_texts(full)
        if not texts:  # Another signature's answer.
            return False
        with self._manager.use(waiting.spec) as (_, servable):
            texts = _counted(servable, texts)
        metadata = logging_pb2.LogMetadata(
            model_spec=waiting.spec, sampling_config=waiting.config.sampling_config, timestamp_secs=waiting.written
        )
        prefix = waiting.config.log_collector_config.filename_prefix
        files = self._files.setdefault(prefix, _Files(prefix, self._keep_days))
        files.write(without_texts(metadata, texts).SerializeToString(), waiting.written)
        return True


def _counted(servable: Servable, texts: list[LoggedText]) -> list[LoggedText]:
    """The texts with their numbers of tokens, and without themselves; a model without preprocessing has no tokens."""
    signature = servable.signatures.get(TRANSFORM_FEATURES)
    if signature is None or TOKEN_IDS not in signature.outputs or len(signature.inputs) != 1:
        return [replace(text, text=None) for text in texts]
    [fed] = signature.inputs.values()
    examples = np.array([_example(*text.text) for text in texts if text.text is not None], object)
    [ids] = servable.run_for((fed.tensor,), (signature.outputs[TOKEN_IDS][0],))([examples])
    return [
        replace(text, text=None, tokens=int((row != PADDING_ID).sum()), unknown_tokens=int((row == OOV_ID).sum()))
        for text, row in zip(texts, ids, strict=True)
    ]


def _example(title: str, description: str) -> bytes:
    example = tf.train.Example()
    for name, text in ((TITLE, title), (DESCRIPTION, description)):
        example.features.feature[name].bytes_list.value.append(text.encode())
    return example.SerializeToString()


class _Files:
    """The files of a prefix: a new one each hour and when one is large; readable by their owner alone."""

    def __init__(self, prefix: str, keep_days: float):
        self._prefix = Path(prefix)
        self._keep_seconds = keep_days * _DAY
        self._writer: tf.io.TFRecordWriter | None = None
        self._hour = self._bytes = 0

    def write(self, record: bytes, now: int) -> None:
        """Adds a record, in a new file where that is due."""
        if self._writer is None or now // _HOUR != self._hour or self._bytes >= _MAX_FILE_BYTES:
            self._begin(now)
        assert self._writer is not None
        self._writer.write(record)
        self._bytes += len(record)

    def flush(self) -> None:
        """Lets readers see what was written."""
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def _begin(self, now: int) -> None:
        self.close()
        make_directory(self._prefix.parent.parent)
        self._prefix.parent.mkdir(mode=0o700, exist_ok=True)
        for path in self._prefix.parent.glob(f"{glob.escape(self._prefix.name)}-*.tfrecord"):
            # Another server with the same prefix may have been quicker.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < now - self._keep_seconds:
                    path.unlink()
        path = self._new_file(datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S"))
        self._writer = tf.io.TFRecordWriter(str(path))
        self._hour, self._bytes = now // _HOUR, 0

    def _new_file(self, moment: str) -> Path:
        number = 0
        while True:
            path = self._prefix.with_name(f"{self._prefix.name}-{moment}-{number:03d}.tfrecord")
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except FileExistsError:
                number += 1
            else:
                return path
