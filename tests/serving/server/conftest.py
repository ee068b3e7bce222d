"""Servers in the test's own process, on free ports of the loopback interface, and the official stubs to ask them."""

import contextlib
import gc
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.server import Flags, ModelServer

# Versions are looked for as often as a flag of whole seconds allows, and broken ones are not tried again.
QUICK = {"port": 0, "rest_api_port": 0, "file_system_poll_wait_seconds": 1, "max_num_load_retries": 0}


def stubs(target, options=()):
    """The official Python stubs on a channel: .predictions, .models, .channel."""
    channel = grpc.insecure_channel(target, options)
    return SimpleNamespace(
        channel=channel,
        predictions=prediction_service_pb2_grpc.PredictionServiceStub(channel),
        models=model_service_pb2_grpc.ModelServiceStub(channel),
    )


def text_request(titles, model="agnews", signature="", **spec):
    """A PredictRequest of texts; `spec` may hold version= or label=."""
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
    """A running ModelServer with stubs: .server, .rest (URL), .predictions, .models."""
    with ModelServer(Flags(**(QUICK | flags))) as server:
        asked = stubs(f"127.0.0.1:{server.grpc_port}")
        try:
            yield SimpleNamespace(server=server, rest=f"http://127.0.0.1:{server.rest_port}", **vars(asked))
        finally:
            asked.channel.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory, text_models, plain_model):
    """One server for the tests that only ask: agnews versions 1 (World) and 2 (Sports), and plain version 7."""
    root = tmp_path_factory.mktemp("served")
    for model, version, source in (
        ("agnews", 1, text_models["World"]),
        ("agnews", 2, text_models["Sports"]),
        ("plain", 7, plain_model),
    ):
        (root / model).mkdir(exist_ok=True)
        (root / model / str(version)).symlink_to(source)
    config = root / "models.config"
    config.write_text(
        f"""model_config_list {{
          config {{ name: "agnews" base_path: "{root}/agnews" model_platform: "tensorflow"
            model_version_policy {{ all {{}} }}
            version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }}
          config {{ name: "plain" base_path: "{root}/plain" model_platform: "tensorflow" }}
        }}"""
    )
    with serving(model_config_file=str(config), allow_version_labels_for_unavailable_models=True) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _imports_are_not_searched():
    """As in the server's own process: unloading a version then looks through its objects, not through TensorFlow's."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
