"""Tests that a version is as fast for its first request as for later ones."""

import time

import numpy as np
import pytest
import tensorflow as tf

from schema.model_contract import WARMUP_REQUESTS
from serving.server.inference import warm_up
from serving.server.metrics import Metrics
from serving.server.options import SessionOptions
from serving.server.servable import Servable
from tests.support.model_servers import text_request


@pytest.fixture(scope="module")
def long_graph(tmp_path_factory):
    """A version with a graph that takes much longer to prepare than to run, and a warm-up request."""
    from tensorflow_serving.apis import prediction_log_pb2

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name) for name in ("title", "description")])
    def serve(title, description):
        value = tf.cast(tf.strings.length(title + description), tf.float32)
        for _ in range(1500):
            value = tf.sin(value)
        return {"value": value}

    module = tf.Module()
    module.serve = serve
    directory = tmp_path_factory.mktemp("long_graph")
    tf.saved_model.save(module, str(directory), signatures={"serving_default": serve})
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(text_request(["warm"]))
    (directory / WARMUP_REQUESTS).parent.mkdir()
    with tf.io.TFRecordWriter(str(directory / WARMUP_REQUESTS)) as writer:
        writer.write(log.SerializeToString())
    return str(directory)


def seconds_of_first_request(servable, deadline):
    signature = servable.signatures["serving_default"]
    feeds = tuple(tensor.tensor for tensor in signature.inputs.values())
    run = servable.run_for(feeds, tuple(tensor for tensor, _ in signature.outputs.values()))
    began = time.perf_counter()
    run([np.array([b"a"], object)] * 2, deadline)
    return time.perf_counter() - began


@pytest.mark.parametrize("has_deadline", [True, False])
def test_the_warm_up_prepares_requests_with_and_without_a_deadline(long_graph, has_deadline):
    deadline = time.monotonic() + 60 if has_deadline else float("inf")
    cold, warm = (Servable(long_graph, SessionOptions()) for _ in range(2))
    try:
        warm_up(warm, "agnews", 1, 1, Metrics())
        assert seconds_of_first_request(warm, deadline) < seconds_of_first_request(cold, deadline) / 3
    finally:
        cold.close()
        warm.close()
