"""Reads a SavedModel's description from its files, without loading the model."""

import os

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from schema.model_contract import SAVED_MODEL, SERVING_DEFAULT, text_columns


def read_meta_graph(directory: str) -> meta_graph_pb2.MetaGraphDef:
    """Reads the graph and the signatures of a SavedModel.

    Raises:
        tf.errors.OpError, DecodeError: the file cannot be read.
    """
    with tf.io.gfile.GFile(os.path.join(directory, SAVED_MODEL), "rb") as file:
        return saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0]


def read_text_columns(directory: str) -> tuple[str, ...]:
    """Reads the inputs of a SavedModel's `SERVING_DEFAULT`, in the order of the text columns.

    Raises:
        tf.errors.OpError, DecodeError: the file cannot be read.
    """
    return text_columns(read_meta_graph(directory).signature_def[SERVING_DEFAULT].inputs)
