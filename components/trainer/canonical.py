"""Rewrites a SavedModel so that the same network and weights give the same files.

TensorFlow numbers functions by a counter of the process, lists them and their operations in the order of a hash table,
and draws a random identifier. An approval of a model would not count for the same model trained again.
"""

import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.framework import attr_value_pb2, function_pb2, node_def_pb2
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

from schema.model_contract import FINGERPRINT, SAVED_MODEL, VARIABLES

_COUNTER = re.compile(r"(_\d+)+$")
_GRADIENT, _GIVEN_NAME = "_gradient_op_type", "_user_specified_name"
# TensorFlow names a table after the temporary file of its vocabulary and after counters.
_TABLE = re.compile(rb"(hash_table).*(tf\.Tensor|_load_\d)")


def make_canonical(export_dir: str) -> None:
    """Numbers the functions of a SavedModel in the order of their use, and derives its identifier from its content."""
    path = os.path.join(export_dir, SAVED_MODEL)
    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    for meta_graph in model.meta_graphs:
        _number_functions(meta_graph)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    identifier = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(export_dir))
    digest = _digest(export_dir, (SAVED_MODEL, f"{VARIABLES}.index"))
    # TensorFlow's hash of the object graph depends on the order of a hash table.
    identifier.saved_object_graph_hash = int.from_bytes(digest[16:24], "big")
    identifier.uuid = str(uuid.UUID(bytes=digest[:16]))
    with tf.io.gfile.GFile(os.path.join(export_dir, FINGERPRINT), "wb") as file:
        file.write(identifier.SerializeToString(deterministic=True))


def _number_functions(meta_graph: Message) -> None:
    library = meta_graph.graph_def.library
    for function in library.function:
        function.node_def.sort(key=lambda node: node.name)
    functions = {function.signature.name: function for function in library.function}
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    gradients: dict[bytes, bytes] = {}
    tables: dict[bytes, bytes] = {}

    def visit(name: str) -> None:
        if name not in functions or name in names:
            return
        base = _COUNTER.sub("", name)
        names[name] = f"{base}_{counts.setdefault(base, 0)}"
        counts[base] += 1
        visit_nodes(functions[name].node_def)

    def visit_nodes(nodes: Iterable[node_def_pb2.NodeDef]) -> None:
        for node in nodes:
            for key, value in sorted(node.attr.items()):
                if key == _GRADIENT:
                    kind = value.s.partition(b"-")[0]
                    value.s = gradients.setdefault(value.s, b"%s-%d" % (kind, len(gradients)))
                elif key == "shared_name" and (table := _TABLE.match(value.s)):
                    value.s = tables.setdefault(value.s, b"%s_%d" % (table[1], len(tables)))
                for function in _functions_of(value):
                    visit(function.name)
            visit(node.op)

    for saved in meta_graph.object_graph_def.nodes:
        for name in saved.function.concrete_functions:
            visit(name)
        visit(saved.bare_concrete_function.concrete_function_name)
    visit_nodes(meta_graph.graph_def.node)
    for name in sorted(functions):
        visit(name)

    for nodes in (meta_graph.graph_def.node, *(function.node_def for function in library.function)):
        for node in nodes:
            node.op = names.get(node.op, node.op)
            for value in node.attr.values():
                for function in _functions_of(value):
                    function.name = names.get(function.name, function.name)
                _rename_in_text(value, names)
    for function in library.function:
        for argument in function.arg_attr.values():
            # The number of a captured resource differs between processes.
            if argument.attr[_GIVEN_NAME].s.isdigit() or not argument.attr[_GIVEN_NAME].s:
                del argument.attr[_GIVEN_NAME]
        _name_captured_arguments(function)
        function.signature.name = names[function.signature.name]
        for value in function.attr.values():
            _rename_in_text(value, names)
    ordered = sorted(library.function, key=lambda function: function.signature.name)
    ordered = [type(function).FromString(function.SerializeToString()) for function in ordered]
    del library.function[:]
    library.function.extend(ordered)
    graph = meta_graph.object_graph_def
    for saved in graph.nodes:
        concrete = [names.get(name, name) for name in saved.function.concrete_functions]
        if concrete:
            saved.function.concrete_functions[:] = concrete
        if saved.WhichOneof("kind") == "bare_concrete_function":
            bare = saved.bare_concrete_function
            bare.concrete_function_name = names.get(bare.concrete_function_name, bare.concrete_function_name)
    moved = {name: type(one).FromString(one.SerializeToString()) for name, one in graph.concrete_functions.items()}
    graph.concrete_functions.clear()
    for name, value in moved.items():
        graph.concrete_functions[names.get(name, name)].CopyFrom(value)


def _rename_in_text(value: attr_value_pb2.AttrValue, names: Mapping[str, str]) -> None:
    """Replaces an attribute that is the name of a function as a text."""
    if (text := value.s.decode("utf-8", "replace")) in names:
        value.s = names[text].encode()


def _name_captured_arguments(function: function_pb2.FunctionDef) -> None:
    """Names arguments that hold something captured by their position instead of a number of the process."""
    arguments = [one for one in function.signature.input_arg if _COUNTER.search(one.name)]
    names = {one.name: f"captured_argument_{index}" for index, one in enumerate(arguments)}
    for argument in arguments:
        argument.name = names[argument.name]
    for node in function.node_def:
        node.input[:] = [names.get(name, name) for name in node.input]
    for key, name in function.ret.items():
        function.ret[key] = names.get(name, name)


def _functions_of(value: attr_value_pb2.AttrValue) -> Iterator[attr_value_pb2.NameAttrList]:
    if value.WhichOneof("value") == "func":
        yield value.func
    elif value.WhichOneof("value") == "list":
        yield from value.list.func


def _digest(export_dir: str, names: Iterable[str]) -> bytes:
    digest = hashlib.sha256()
    for name in names:
        with tf.io.gfile.GFile(os.path.join(export_dir, name), "rb") as file:
            digest.update(file.read())
    return digest.digest()
