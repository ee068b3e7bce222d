import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from components.model_card.exported_model import ExportedModel
from components.model_card.rows import Texts
from components.trainer.export import (
    export_saved_model,
    gpu_only_operations,
    text_example,
    write_warmup_requests,
)
from schema.data_set import AG_NEWS
from schema.features import CLASS_NAMES
from schema.model_contract import WARMUP_REQUESTS, text_columns
from schema.news_items import NewsItem
from serving.audit import differences, manifest
from tests.support import ROOT


@pytest.fixture(scope="module")
def signatures(export):
    loaded = tf.saved_model.load(export)
    signatures = dict(loaded.signatures)
    signatures["keep"] = loaded  # A signature does not keep its model alive.
    return signatures


def classify(signatures, titles, descriptions):
    outputs = signatures["serving_default"](title=tf.constant(titles), description=tf.constant(descriptions))
    return {name: value.numpy() for name, value in outputs.items()}


def test_texts_get_label_classes_and_probabilities(signatures):
    outputs = classify(signatures, ["Oil", "Goal"], ["up", "two"])
    assert set(outputs) == {"label", "classes", "probabilities"}
    assert [name.decode() for name in outputs["classes"][0]] == list(CLASS_NAMES)
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), [1, 1], atol=1e-6)
    likeliest = outputs["classes"][[0, 1], outputs["probabilities"].argmax(axis=1)]
    assert outputs["label"].tolist() == likeliest.tolist()


@pytest.mark.parametrize("text", ["", " ", "word " * 200_000, "Żółć 東京 🏈", "\x00\u202e", "#39;&lt;\\", b"\xff\xfe"])
def test_unusual_texts_get_probabilities(signatures, text):
    probabilities = classify(signatures, [text], [text])["probabilities"]
    assert np.isfinite(probabilities).all()
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_different_numbers_of_titles_and_descriptions_are_an_error(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="title and description need the same number of texts"):
        classify(signatures, ["oil", "goal"], ["", "", ""])


def test_a_longer_text_in_the_batch_changes_nothing(signatures):
    alone = classify(signatures, ["oil up"], [""])["probabilities"][0]
    in_batch = classify(signatures, ["oil up", "goal " * 15], ["", ""])["probabilities"][0]
    np.testing.assert_allclose(alone, in_batch, atol=1e-6)


def test_examples_get_the_probabilities_of_their_texts(signatures):
    text = classify(signatures, ["Oil up", ""], ["Prices rose", ""])
    serialized = [text_example("Oil up", "Prices rose").SerializeToString(), tf.train.Example().SerializeToString()]
    examples = signatures["serve_examples"](inputs=tf.constant(serialized))
    np.testing.assert_allclose(examples["scores"].numpy(), text["probabilities"], atol=1e-6)
    assert examples["classes"].numpy().tolist() == text["classes"].tolist()


def test_the_export_preprocesses_like_the_transform_graph(signatures, transform_output, rows):
    rows = rows[:500]
    serialized = [text_example(row["title"], row["description"]).SerializeToString() for row in rows]
    exported = signatures["transform_features"](examples=tf.constant(serialized))["token_ids"]
    raw = {name: tf.constant([[row[name]] for row in rows]) for name in ("title", "description")}
    alone = tf.sparse.to_dense(transform_output.transform_features_layer()(raw)["token_ids"])
    np.testing.assert_array_equal(exported.numpy(), alone.numpy())


def test_the_export_predicts_like_the_network(signatures, network, transform_output):
    raw = {"title": tf.constant([["ba1 goal"]]), "description": tf.constant([["U.S. 3-2"]])}
    ids = tf.sparse.to_dense(transform_output.transform_features_layer()(raw)["token_ids"])
    expected = tf.nn.softmax(network(ids)).numpy()
    np.testing.assert_allclose(classify(signatures, ["ba1 goal"], ["U.S. 3-2"])["probabilities"], expected, atol=1e-6)


def test_the_temperature_divides_the_logits(network, transform_output, signatures, tmp_path):
    export_saved_model(network, transform_output, str(tmp_path / "export"), temperature=2.0)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    cooled = classify(loaded.signatures, ["ba1 goal"], ["U.S."])["probabilities"]
    root = np.sqrt(classify(signatures, ["ba1 goal"], ["U.S."])["probabilities"])
    np.testing.assert_allclose(cooled, root / root.sum(), atol=1e-6)


def test_the_inputs_are_the_text_columns_and_are_joined_like_rows(network, transform_output, signatures, tmp_path):
    columns = ("Betreff", "Text der Mail", "标题")
    export = str(tmp_path / "export")
    export_saved_model(network, transform_output, export, data_set=replace(AG_NEWS, text_columns=columns))
    write_warmup_requests(["oil"], export, "agnews", 2)
    rows = [("Oil", "ba1 goal", "U.S."), ("", "", "oil"), ("Oil", "ba1", ""), ("", "", "")]
    items = [NewsItem.of_texts(row) for row in rows]
    expected = classify(signatures, [item.title for item in items], [item.description for item in items])
    inputs = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:  # As TensorFlow Serving does.
        signature = tf.compat.v1.saved_model.load(session, ["serve"], export).signature_def["serving_default"]
        assert text_columns(signature.inputs) == columns
        feeds = {signature.inputs[name].name: texts for name, texts in inputs.items()}
        probabilities = session.run(signature.outputs["probabilities"].name, feeds)
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-6)
    texts = Texts([item.title for item in items], [item.description for item in items])
    np.testing.assert_allclose(ExportedModel(export).probabilities(texts), expected["probabilities"], atol=1e-6)
    [warmup, _] = tf.data.TFRecordDataset(os.path.join(export, WARMUP_REQUESTS)).as_numpy_iterator()
    assert set(prediction_log_pb2.PredictionLog.FromString(warmup).predict_log.request.inputs) == set(columns)


def test_a_network_of_titles_does_not_see_the_description(network, transform_output, tmp_path):
    export_saved_model(network, transform_output, str(tmp_path / "export"), titles_only=True)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    texts = classify(loaded.signatures, ["ba1 goal", "ba1 goal", "", ""], ["U.S.", "", "oil", ""])["probabilities"]
    np.testing.assert_allclose(texts[0], texts[1], atol=1e-6)
    assert np.isfinite(texts).all()
    raw = {"title": tf.constant([["ba1 goal"]]), "description": tf.constant([[""]])}
    ids = tf.sparse.to_dense(transform_output.transform_features_layer()(raw)["token_ids"])
    np.testing.assert_allclose(texts[0], tf.nn.softmax(network(ids))[0], atol=1e-6)


def test_signatures_have_the_method_names_of_tensorflow_serving(export):
    with open(os.path.join(export, "saved_model.pb"), "rb") as file:
        meta_graph = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0]
    methods = {name: signature.method_name for name, signature in meta_graph.signature_def.items()}
    assert methods["serve_examples"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == "tensorflow/serving/predict"


def test_the_export_answers_its_warm_up_requests(export, signatures):
    records = list(tf.data.TFRecordDataset(os.path.join(export, WARMUP_REQUESTS)).as_numpy_iterator())
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log", "classify_log"] * 5
    filters = [list(log.predict_log.request.output_filter) for log in logs if log.HasField("predict_log")]
    assert filters == [[], ["classes", "probabilities"]] * 2 + [[]], "the outputs that serving.client asks for, too"
    for log in logs:
        if log.HasField("predict_log"):
            request = log.predict_log.request
            inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        else:
            request = log.classify_log.request
            examples = request.input.example_list.examples
            inputs = {"inputs": tf.constant([example.SerializeToString() for example in examples])}
        assert request.model_spec.name == "agnews"
        assert signatures[request.model_spec.signature_name](**inputs)


def test_the_export_has_no_gpu_only_operations(export):
    assert gpu_only_operations(export) == set()


def test_cudnn_operations_are_found(tmp_path):
    graph = saved_model_pb2.SavedModel()
    function = graph.meta_graphs.add().graph_def.library.function.add()
    function.node_def.add(name="lstm", op="CudnnRNNV3")
    (tmp_path / "saved_model.pb").write_bytes(graph.SerializeToString())
    assert gpu_only_operations(str(tmp_path)) == {"CudnnRNNV3"}


def test_an_export_with_cudnn_operations_is_refused(network, transform_output, tmp_path, monkeypatch):
    monkeypatch.setattr("components.trainer.export.gpu_only_operations", lambda directory: {"CudnnRNNV3"})
    keras.utils.set_random_seed(1)
    with pytest.raises(RuntimeError, match="CPU server"):
        export_saved_model(network, transform_output, str(tmp_path / "saved_model"))


def test_a_session_loads_the_export_and_predicts_the_same(export, signatures):
    """TensorFlow Serving runs the graph in a session, which restores variables only by the graph."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], export).signature_def["serving_default"]
        feeds = {signature.inputs["title"].name: ["ba1 goal"], signature.inputs["description"].name: ["U.S. 3-2"]}
        probabilities = session.run(signature.outputs["probabilities"].name, feeds)
    expected = classify(signatures, ["ba1 goal"], ["U.S. 3-2"])["probabilities"]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


_EXPORT = """
import sys
import keras, tensorflow_transform as tft
from components.trainer.architectures import build_network
from components.trainer.export import export_saved_model, write_warmup_requests
from components.trainer.shapes import architecture
import tensorflow as tf
if sys.argv[3] == "after other work":
    # The counters of this process are others then.
    tf.function(lambda x: x + 1)(tf.constant(1))
keras.utils.set_random_seed(3)
network = build_network(architecture("lstm", embedding_dim=8, units=4), vocabulary_size=20, classes=4, use_cudnn=False)
export_saved_model(network, tft.TFTransformOutput(sys.argv[1]), sys.argv[2])
write_warmup_requests(["a", "b"], sys.argv[2], "agnews", 4)
"""


@pytest.mark.timeout(300)
def test_two_exports_of_the_same_network_have_the_same_files(transform_output, tmp_path):
    graph = os.path.dirname(transform_output.transform_savedmodel_dir)
    directories = (tmp_path / "one/Format-Serving", tmp_path / "another place/export")
    # With these seeds, Python's sets list the features that a request lacks in different orders.
    for seed, work, directory in zip("16", ("", "after other work"), directories, strict=True):
        command = [sys.executable, "-c", _EXPORT, graph, str(directory), work]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
    one, other = map(manifest, directories)
    assert differences(one, other) == []
    loaded = tf.saved_model.load(str(directories[0]))
    answers = loaded.signatures["serving_default"](title=tf.constant(["oil"]), description=tf.constant([""]))
    assert answers["probabilities"].shape == (1, 4)
