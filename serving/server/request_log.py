"""Writes a sampled request log for monitoring. It contains features of each text, but no texts.

It is configured as in TensorFlow Serving, by `logging_config` of a model in the ModelServerConfig. Models without one
are not logged. `log_collector_config.type` must be "tfrecord_features". TensorFlow Serving lets each build define the
types (core/log_collector.h), and the released server defines none.

A request only adds a reference to a bounded queue. A background thread computes and writes the records. A record that
does not fit into the queue or cannot be written is counted in the metrics and dropped.
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
from typing import Protocol

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import logging_pb2, model_pb2, prediction_log_pb2
from tensorflow_serving.config import logging_config_pb2

from schema.features import DESCRIPTION, TITLE
from schema.files import make_directory
from schema.model_contract import OOV_ID, PADDING_ID, SERVING_DEFAULT, TOKEN_IDS, TRANSFORM_FEATURES, text_columns
from serving.prediction_logs import LoggedText, logged_texts, without_texts
from serving.server.errors import request_error
from serving.server.inference import LOG_FIELDS
from serving.server.manager import Manager
from serving.server.metrics import Metrics

_log = logging.getLogger(__name__)

_LOGGED_APIS = ("Predict", "Classify")
_MAX_WAITING = 1000
_MAX_WAITING_BYTES = 16 << 20
_MAX_FILE_BYTES = 64 << 20
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class _Waiting:
    """A queued response.

    Attributes:
        config: logging configuration of the model.
        spec: name and version of the model.
        log: field of a PredictionLog for this API.
        request: the request message.
        response: the response message.
        written: time of the response in seconds since the epoch.
        size: bytes of request and response.
    """

    config: logging_config_pb2.LoggingConfig
    spec: model_pb2.ModelSpec
    log: str
    request: message.Message
    response: message.Message
    written: int
    size: int


class LoggedModels(Protocol):
    """Provides the logging configuration and the token ids of models."""

    def logging_config(self, model: str) -> logging_config_pb2.LoggingConfig | None:
        """Returns the logging configuration of a model, or None if it has none."""

    def token_ids(self, spec: model_pb2.ModelSpec, examples: list[bytes]) -> np.ndarray | None:
        """Returns the token ids int64 [batch, time] of serialized tf.Examples, or None if the model has none."""

    def text_columns(self, spec: model_pb2.ModelSpec) -> tuple[str, ...]:
        """Returns the text columns of a model, in order."""


class LocalModels:
    """The models of a server in this process."""

    def __init__(self, manager: Manager):
        self._manager = manager

    def logging_config(self, model: str) -> logging_config_pb2.LoggingConfig | None:
        """Returns the logging configuration of a model, or None if it has none."""
        models = self._manager.config.model_config_list.config
        return next((entry.logging_config for entry in models if entry.name == model), None)

    def token_ids(self, spec: model_pb2.ModelSpec, examples: list[bytes]) -> np.ndarray | None:
        """Returns the token ids int64 [batch, time] of serialized tf.Examples, or None if the model has none."""
        with self._manager.borrow(spec) as (_, servable):
            signature = servable.signatures.get(TRANSFORM_FEATURES)
            if signature is None or TOKEN_IDS not in signature.outputs or len(signature.inputs) != 1:
                return None
            [model_input] = signature.inputs.values()
            run = servable.run_for((model_input.tensor,), (signature.outputs[TOKEN_IDS][0],))
            return run([np.array(examples, object)])[0]

    def text_columns(self, spec: model_pb2.ModelSpec) -> tuple[str, ...]:
        """Returns the text columns of a model, in order."""
        with self._manager.borrow(spec) as (_, servable):
            signature = servable.signature_defs.get(SERVING_DEFAULT)
            return text_columns(signature.inputs) if signature else ()


class RequestLog:
    """Logs responses of models that have a `logging_config`. A background thread writes them."""

    def __init__(self, models: LoggedModels, metrics: Metrics, *, keep_days: float):
        """Starts the background thread.

        Args:
            models: has the logging configuration, and counts tokens.
            metrics: counts logged and dropped responses.
            keep_days: number of days after which files of the log are deleted.
        """
        self._models = models
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
        """Queues a response with the sampling rate of its model. It never blocks."""
        config = self._models.logging_config(model)
        if api not in _LOGGED_APIS or config is None or random.random() >= config.sampling_config.sampling_rate:
            return
        spec = model_pb2.ModelSpec(name=model)
        spec.version.value = version
        size = request.ByteSize() + response.ByteSize()
        waiting = _Waiting(config, spec, LOG_FIELDS[api], request, response, int(time.time()), size)
        with self._changed:
            full = len(self._waiting) >= _MAX_WAITING or self._bytes + size > _MAX_WAITING_BYTES
            if not full:
                self._waiting.append(waiting)
                self._bytes += size
                self._changed.notify()
        if full:
            self._metrics.request_logs.labels(model, "RESOURCE_EXHAUSTED").inc()

    def close(self, grace_seconds: float) -> None:
        """Writes the queued responses within `grace_seconds` and stops."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(grace_seconds)

    def _work(self) -> None:
        while (waiting := self._take()) is not None:
            self._log_response(waiting)
        for files in self._files.values():
            files.close()

    def _take(self) -> _Waiting | None:
        """Waits for the next response. Returns None when the log is closed and the queue is empty."""
        if not self._waiting:
            # Without the lock, so that requests do not wait for the disk.
            for files in self._files.values():
                files.flush()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            waiting = self._waiting.popleft()
            self._bytes -= waiting.size
            return waiting

    def _log_response(self, waiting: _Waiting) -> None:
        status = "OK"
        try:
            if not self._write(waiting):
                return
            self._failing = False
        except Exception as error:  # A full disk or an unexpected response must not end the thread.
            failure = request_error(error)
            status = failure.code.name
            if not self._failing:
                _log.warning("request not logged model=%s error=%s", waiting.spec.name, failure.message)
            self._failing = True
        self._metrics.request_logs.labels(waiting.spec.name, status).inc()

    def _write(self, waiting: _Waiting) -> bool:
        full = prediction_log_pb2.PredictionLog()
        log = getattr(full, waiting.log)
        log.request.CopyFrom(waiting.request)
        log.response.CopyFrom(waiting.response)
        texts = logged_texts(full, self._models.text_columns(waiting.spec))
        if not texts:  # The response is not a classification of texts.
            return False
        texts = self._with_token_counts(waiting.spec, texts)
        metadata = logging_pb2.LogMetadata(
            model_spec=waiting.spec, sampling_config=waiting.config.sampling_config, timestamp_secs=waiting.written
        )
        prefix = waiting.config.log_collector_config.filename_prefix
        files = self._files.setdefault(prefix, _Files(prefix, self._keep_days))
        files.write(without_texts(metadata, texts).SerializeToString(), waiting.written)
        return True

    def _with_token_counts(self, spec: model_pb2.ModelSpec, texts: list[LoggedText]) -> list[LoggedText]:
        """Removes the texts and adds their numbers of tokens, if the model has a preprocessing signature."""
        given = [text.text for text in texts if text.text is not None]
        ids = self._models.token_ids(spec, [_example(*text) for text in given]) if len(given) == len(texts) else None
        if ids is None:
            return [replace(text, text=None) for text in texts]
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
    """Writes files with a common prefix, readable only by their owner. Starts a new file each hour and at 64 MiB."""

    def __init__(self, prefix: str, keep_days: float):
        self._prefix = Path(prefix)
        self._keep_seconds = keep_days * _DAY
        self._writer: tf.io.TFRecordWriter | None = None
        self._hour = self._bytes = 0

    def write(self, record: bytes, now: int) -> None:
        """Appends a record, to a new file if one is due."""
        if self._writer is None or now // _HOUR != self._hour or self._bytes >= _MAX_FILE_BYTES:
            self._start_file(now)
        assert self._writer is not None
        self._writer.write(record)
        self._bytes += len(record)

    def flush(self) -> None:
        """Makes the written records visible to readers."""
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        """Closes the current file."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def _start_file(self, now: int) -> None:
        self.close()
        make_directory(self._prefix.parent.parent)
        self._prefix.parent.mkdir(mode=0o700, exist_ok=True)
        for path in self._prefix.parent.glob(f"{glob.escape(self._prefix.name)}-*.tfrecord"):
            # Another server with the same prefix may have deleted the file.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < now - self._keep_seconds:
                    path.unlink()
        path = self._create_file(datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S"))
        self._writer = tf.io.TFRecordWriter(str(path))
        self._hour, self._bytes = now // _HOUR, 0

    def _create_file(self, moment: str) -> Path:
        number = 0
        while True:
            path = self._prefix.with_name(f"{self._prefix.name}-{moment}-{number:03d}.tfrecord")
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except FileExistsError:
                number += 1
            else:
                return path
