"""Replays a version's own requests before it serves, so that no client pays for what TensorFlow does the first time.

Source: tensorflow/serving, g3doc/saved_model_warmup.md and servables/tensorflow/saved_model_warmup_util.cc.
"""

import time

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from schema.model_contract import WARMUP_REQUESTS
from serving.server import inference
from serving.server.metrics import Metrics
from serving.server.servable import Servable

MAX_RECORDS = 1000
_REPLAYS = {
    "predict_log": inference.predict,
    "classify_log": inference.classify,
    "regress_log": inference.regress,
    "multi_inference_log": inference.multi_inference,
}


def warm_up(servable: Servable, model: str, version: int, iterations: int, metrics: Metrics) -> None:
    """Runs the requests of the version's `WARMUP_REQUESTS`; a version without the file is left alone.

    Args:
        servable: the loaded version.
        model: its model's name.
        version: its number.
        iterations: how often each request is run.
        metrics: told how long it took.

    Raises:
        ValueError: more than 1,000 records, or one that no client could send.
        RequestError, tf.errors.OpError: a request fails; then the version must not serve.
    """
    if servable.warmup_path is None:
        return
    started = time.monotonic()
    status = "INTERNAL"
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(servable.warmup_path).as_numpy_iterator()):
            if number == MAX_RECORDS:
                raise ValueError(f"{servable.warmup_path} has more than {MAX_RECORDS} records")
            _replay(servable, model, version, prediction_log_pb2.PredictionLog.FromString(record), iterations)
        status = "OK"
    finally:
        micros = (time.monotonic() - started) * 1e6
        metrics.warmup_latency.labels(servable.warmup_path.removesuffix(f"/{WARMUP_REQUESTS}"), status).observe(micros)


def _replay(
    servable: Servable, model: str, version: int, log: prediction_log_pb2.PredictionLog, iterations: int
) -> None:
    kind = log.WhichOneof("log_type")
    if kind not in _REPLAYS:
        raise ValueError(f"{servable.warmup_path}: unsupported log type {kind} for warm-up")
    request = getattr(log, kind).request
    # Like the real server, whatever name the file's requests were written under.
    for task in request.tasks if kind == "multi_inference_log" else ():
        task.model_spec.name = model
    context = inference.Context(model, version, servable, lambda run, arrays: run(arrays))
    for _ in range(iterations):
        _REPLAYS[kind](context, request)
