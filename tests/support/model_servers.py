"""Model servers in this process on free ports of the loopback interface, and the official stubs."""

import contextlib
from types import SimpleNamespace

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from serving.server import Flags, ModelServer

# Polls for versions as often as the flag in whole seconds allows, and does not retry broken versions.
QUICK = {"port": 0, "rest_api_port": 0, "file_system_poll_wait_seconds": 1, "max_num_load_retries": 0}


def stubs(target, options=()):
    """Returns the official Python stubs and their channel: .predictions, .models, .channel."""
    channel = grpc.insecure_channel(target, options)
    return SimpleNamespace(
        channel=channel,
        predictions=prediction_service_pb2_grpc.PredictionServiceStub(channel),
        models=model_service_pb2_grpc.ModelServiceStub(channel),
    )


def text_request(titles, model="agnews", signature="", **spec):
    """Returns a PredictRequest of texts. `spec` can be version= or label=."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    for name in ("title", "description"):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(titles, object), dtype=tf.string))
    return request


def label_of(response):
    return tf.make_ndarray(response.outputs["label"])[0].decode()


@contextlib.contextmanager
def serving(**flags):
    """Yields a running ModelServer with stubs: .server, .rest (URL), .predictions, .models."""
    with ModelServer(Flags(**(QUICK | flags))) as server:
        client_stubs = stubs(f"127.0.0.1:{server.grpc_port}")
        try:
            yield SimpleNamespace(server=server, rest=f"http://127.0.0.1:{server.rest_port}", **vars(client_stubs))
        finally:
            client_stubs.channel.close()
