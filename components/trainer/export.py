"""Exports a SavedModel with preprocessing, network and signatures, and describes the training in it."""

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from keras.src.backend.tensorflow.export import TFExportArchive
from matplotlib.figure import Figure
from tensorflow_serving.apis import classification_pb2, model_pb2, predict_pb2, prediction_log_pb2
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

from components.trainer.canonical import make_canonical
from schema.data_set import AG_NEWS, DataSet
from schema.features import DESCRIPTION, TITLE, TRAIN, VAL
from schema.model_contract import (
    CLASSES,
    PROBABILITIES,
    SCORES,
    SERVE_EXAMPLES,
    SERVING_DEFAULT,
    TITLE_TOKENS,
    TOKEN_IDS,
    TRAINING_FACTS,
    TRANSFORM_FEATURES,
    WARMUP_REQUESTS,
)
from schema.news_items import TEXT_COLUMNS
from serving.saved_model import read_meta_graph, read_text_columns

_CLASSIFY = "tensorflow/serving/classify"
_WARMUP_WORDS = (8, 24, 48, 96)
_WARMUP_BATCHES = (1, 8)
_CURVES = "curves"
MEASURED = ("seconds", "rows_per_second")
"""Facts that are measured with a clock, so that they differ for each training."""


class _Endpoints:
    """Functions of the signatures, which include preprocessing and network."""

    def __init__(
        self,
        network: keras.Model,
        transform: SavedModelLoader,
        temperature: float,
        titles_only: bool,
        class_names: Sequence[str],
        columns: Sequence[str],
    ):
        self._columns = columns
        self._class_names = list(class_names)
        self._network = network
        self._transform = transform
        self._temperature = temperature
        self._titles_only = titles_only

    def _token_ids(self, title: tf.Tensor, description: tf.Tensor) -> tf.Tensor:
        raw = {TITLE: title[:, tf.newaxis], DESCRIPTION: description[:, tf.newaxis]}
        transformed = self._transform.apply_transform_model(raw)
        if not self._titles_only:
            return tf.sparse.to_dense(transformed[TOKEN_IDS])
        tokens = tf.RaggedTensor.from_sparse(transformed[TOKEN_IDS])
        of_title = tf.ragged.range(tokens.row_lengths()) < transformed[TITLE_TOKENS][:, tf.newaxis]
        return tf.ragged.boolean_mask(tokens, of_title).to_tensor()

    def _classify(self, title: tf.Tensor, description: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._network(self._token_ids(title, description), training=False)
        probabilities = tf.nn.softmax(logits / self._temperature)
        classes = tf.broadcast_to(tf.constant(self._class_names), tf.shape(probabilities))
        return classes, probabilities

    @staticmethod
    def _parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # An example may lack one of the two texts.
        text = tf.io.FixedLenFeature([], tf.string, default_value="")
        example = tf.io.parse_example(serialized, {TITLE: text, DESCRIPTION: text})
        return example[TITLE], example[DESCRIPTION]

    def serve_text(self, *texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies the texts of the columns, string [batch] each.

        Returns:
            `label`, the most likely class, string [batch]; `classes`, the class names in the order of the
            probabilities, string [batch, classes]; `probabilities`, float32 [batch, classes].
        """
        # Otherwise the error names shapes of operations that no client knows.
        for text in texts[1:]:
            same = tf.equal(tf.size(texts[0]), tf.size(text))
            tf.debugging.Assert(same, [f"{' and '.join(self._columns)} need the same number of texts"])
        classes, probabilities = self._classify(*_join(texts))
        label = tf.gather(tf.constant(self._class_names), tf.argmax(probabilities, axis=1))
        return {"label": label, CLASSES: classes, PROBABILITIES: probabilities}

    def serve_examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies serialized tf.Examples, string [batch], for TensorFlow Serving's Classify API.

        Returns:
            `classes` string [batch, classes] and `scores` float32 [batch, classes].
        """
        classes, probabilities = self._classify(*self._parse(inputs))
        return {CLASSES: classes, SCORES: probabilities}

    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Maps serialized tf.Examples, string [batch], to token ids int64 [batch, time], right-padded with 0."""
        return {TOKEN_IDS: self._token_ids(*self._parse(examples))}


def _join(texts: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Joins the texts of several columns to titles and descriptions, as `NewsItem.of_texts` does."""
    if len(texts) == 1:
        return tf.zeros_like(texts[0]), texts[0]
    title, description, *others = texts
    for text in others:
        blank = tf.where((description == "") | (text == ""), "", " ")
        description = tf.strings.join([description, blank, text])
    return title, description


class _OrderedArchive(TFExportArchive):
    """Keras' archive, but with the variables in the order of the network instead of that of a set."""

    def _filter_and_track_resources(self) -> None:
        super()._filter_and_track_resources()
        trackable = self._tf_trackable
        position = {id(variable.value): index for index, variable in enumerate(trackable.variables)}
        trackable._all_variables = sorted(trackable._all_variables, key=lambda variable: position[id(variable)])


class _OrderedLoader(SavedModelLoader):
    """The transform graph, which gets stand-ins for missing features in one order, not in that of a set."""

    def _get_unfed_input_keys(self, input_tensor_keys: Iterable[str]) -> list[str]:
        return sorted(super()._get_unfed_input_keys(input_tensor_keys))


def export_saved_model(
    network: keras.Model,
    transform_output: tft.TFTransformOutput,
    export_dir: str,
    *,
    temperature: float = 1.0,
    titles_only: bool = False,
    data_set: DataSet = AG_NEWS,
) -> None:
    """Writes a SavedModel that any TensorFlow Serving host can load.

    Args:
        network: portable network, built with `use_cudnn=False`, that maps token ids [batch, time] to logits float32
            [batch, classes].
        transform_output: transform graph and vocabulary.
        export_dir: an empty or missing directory.
        temperature: divisor of the logits before the softmax.
        titles_only: whether the network reads only the tokens of titles.
        data_set: class names in the order of the logits, and text columns.

    Raises:
        RuntimeError: the graph contains operations that run only on a GPU.
    """
    # Not tft's layer: Keras would trace and save a model around the graph, which takes half of the export.
    transform = _OrderedLoader(transform_output.transform_savedmodel_dir)
    columns = data_set.text_columns
    endpoints = _Endpoints(network, transform, temperature, titles_only, data_set.class_names, columns)
    # Columns may have any names, but tensors may not. The numbers keep the order, which the signature's map loses.
    names = columns if columns == TEXT_COLUMNS else [f"text_{index:03}" for index in range(len(columns))]

    def texts(*names: str) -> list[tf.TensorSpec]:
        return [tf.TensorSpec([None], tf.string, name) for name in names]

    # Not tf.saved_model.save: a Keras 3 model in a tf.Module is restored into variables with other names than the graph
    # reads. TensorFlow 2 corrects that when it loads the model, but a session, and so TensorFlow Serving, does not.
    archive = _OrderedArchive()
    archive.track(network)
    archive.track(transform._imported)  # Keeps its vocabulary table initialised.
    archive.add_endpoint(SERVING_DEFAULT, endpoints.serve_text, texts(*names))
    archive.add_endpoint(SERVE_EXAMPLES, endpoints.serve_examples, texts("inputs"))
    archive.add_endpoint(TRANSFORM_FEATURES, endpoints.transform_features, texts("examples"))
    archive.write_out(export_dir, verbose=False)
    # TensorFlow 2 marks every signature as Predict; TensorFlow Serving's Classify needs its own method name.
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(export_dir)
    updater.replace_method_name(signature_key=SERVE_EXAMPLES, method_name=_CLASSIFY)
    updater.save()
    make_canonical(export_dir, dict(zip(names, columns, strict=True)))
    if gpu_only := gpu_only_operations(export_dir):
        raise RuntimeError(f"the export in {export_dir} would not load on a CPU server: it contains {sorted(gpu_only)}")


def gpu_only_operations(export_dir: str) -> set[str]:
    """Returns the cuDNN operations in a SavedModel; a portable one has none."""
    graph = read_meta_graph(export_dir).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes if "cudnn" in node.op.lower()}


def write_warmup_requests(words: Sequence[str], export_dir: str, model_name: str, requests: int) -> None:
    """Writes TensorFlow Serving's warm-up file with texts of several lengths, single and in batches.

    TensorFlow prepares a graph again for other outputs, so half of the Predict requests ask for those that
    `serving.client` asks for.

    Source of the format: tensorflow/serving, g3doc/saved_model_warmup.md.

    Args:
        words: words of the vocabulary, from which texts are made.
        export_dir: directory of the SavedModel.
        model_name: name of the model on the server.
        requests: number of requests, half of them Predict and half Classify.
    """
    path, columns = os.path.join(export_dir, WARMUP_REQUESTS), read_text_columns(export_dir)
    tf.io.gfile.makedirs(os.path.dirname(path))
    shapes = [(batch, length) for batch in _WARMUP_BATCHES for length in _WARMUP_WORDS]
    with tf.io.TFRecordWriter(path) as writer:
        for index in range(requests):
            batch, length = shapes[(index // 2) % len(shapes)]
            text = " ".join(words[(index * length + position) % len(words)] for position in range(length))
            if index % 2 == 0:
                log = _predict_log(text, batch, model_name, columns, [] if index % 4 == 0 else [CLASSES, PROBABILITIES])
            else:
                log = _classify_log(text, batch, model_name)
            writer.write(log.SerializeToString(deterministic=True))


def _predict_log(
    text: str, batch: int, model_name: str, columns: Sequence[str], output_filter: Sequence[str]
) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=model_name, signature_name=SERVING_DEFAULT),
        inputs={name: tf.make_tensor_proto([text] * batch) for name in columns},
        output_filter=output_filter,
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _classify_log(text: str, batch: int, model_name: str) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest(
        model_spec=model_pb2.ModelSpec(name=model_name, signature_name=SERVE_EXAMPLES)
    )
    for _ in range(batch):
        request.input.example_list.examples.append(text_example(text, text))
    return prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=request))


def text_example(title: str, description: str) -> tf.train.Example:
    """Returns a tf.Example for the signature `serve_examples`."""

    def text(value: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    return tf.train.Example(features=tf.train.Features(feature={TITLE: text(title), DESCRIPTION: text(description)}))


def layer_facts(network: keras.Model) -> list[dict[str, Any]]:
    """Returns the name, kind, output shape and number of parameters of each layer; "batch" and "time" vary."""
    return [
        {
            "name": layer.name,
            "kind": _kind(layer),
            "shape": _shape(layer.output.shape),
            "parameters": layer.count_params(),
        }
        for layer in network.layers
    ]


def _kind(layer: keras.layers.Layer) -> str:
    kind = type(layer).__name__
    return f"{kind}({_kind(layer.forward_layer)})" if isinstance(layer, keras.layers.Bidirectional) else kind


def _shape(shape: tuple[int | None, ...]) -> list[int | str]:
    names = ("batch", "time")
    return [names[axis] if size is None else size for axis, size in enumerate(shape)]


def write_facts(facts: dict[str, Any], export_dir: str) -> None:
    """Writes a description of the training into a SavedModel's directory, so that every copy contains it.

    The facts of `MEASURED` are written next to the export, so that the same training gives the same files.
    """
    history = facts.get("history", {})
    measured = {name: facts[name] for name in MEASURED if name in facts}
    measured["history"] = {name: history[name] for name in MEASURED if name in history}
    same = {name: value for name, value in facts.items() if name not in MEASURED}
    if history:
        same["history"] = {name: values for name, values in history.items() if name not in MEASURED}
    for path, content in ((os.path.join(export_dir, TRAINING_FACTS), same), (_measured_path(export_dir), measured)):
        tf.io.gfile.makedirs(os.path.dirname(path))
        with tf.io.gfile.GFile(path, "w") as file:
            json.dump(content, file, indent=1)


def read_facts(export_dir: str) -> dict[str, Any]:
    """Returns the facts of an export, with the measured ones if they are still next to it.

    Raises:
        OSError, tf.errors.OpError, ValueError: the facts cannot be read.
    """
    with tf.io.gfile.GFile(os.path.join(export_dir, TRAINING_FACTS)) as file:
        facts = json.load(file)
    if tf.io.gfile.exists(path := _measured_path(export_dir)):
        with tf.io.gfile.GFile(path) as file:
            measured = json.load(file)
        facts |= measured | {"history": facts.get("history", {}) | measured["history"]}
    return facts


def _measured_path(export_dir: str) -> str:
    return os.path.join(training_folder(export_dir), "measured.json")


def training_folder(export_dir: str) -> str:
    """Returns the folder next to an export, in the artifact of the model, with curves and measured facts."""
    return os.path.join(os.path.dirname(export_dir.rstrip("/")), "training")


def write_curves(history: dict[str, list[float]], best_epoch: int, directory: str) -> None:
    """Plots loss and accuracy of both splits and the learning rate by epoch, as `curves.png` and `curves.svg`.

    Args:
        history: values of each metric, by epoch.
        best_epoch: number of the epoch whose weights are used, from 1.
        directory: directory of the plots, created if needed.
    """
    tf.io.gfile.makedirs(directory)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    epochs = range(1, len(history["loss"]) + 1)
    for axes, metric in zip(figure.subplots(1, 3), ("loss", "accuracy", "learning_rate"), strict=True):
        for name, label in ((metric, TRAIN), (f"val_{metric}", VAL)):
            if name in history:
                axes.plot(epochs, history[name], marker="o", label=label)
        axes.set(title=metric.replace("_", " "), xlabel="epoch", xticks=epochs)
        axes.axvline(best_epoch, color="grey", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.axes[1].legend()
    figure.axes[2].set_title("learning rate at the end of the epoch")
    for suffix in ("png", "svg"):
        with tf.io.gfile.GFile(os.path.join(directory, f"{_CURVES}.{suffix}"), "wb") as file:
            figure.savefig(file, format=suffix, dpi=120)
