"""Compares docs/reference/model-contract.md with an export."""

import re
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from schema.features import CLASS_NAMES
from tests.support import ROOT

PAGE = (ROOT / "docs/reference/model-contract.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (input|output) \| `(\w+)` \| (\w+) \| \[([\w, ]+)\] \|$", re.MULTILINE)


def test_the_page_lists_the_signatures_of_an_export(export):
    model = saved_model_pb2.SavedModel.FromString(Path(export, "saved_model.pb").read_bytes())
    found = set()
    for name, signature in model.meta_graphs[0].signature_def.items():
        if name.startswith("__"):  # TensorFlow's own, which no client calls.
            continue
        method = signature.method_name.rpartition("/")[2].capitalize()
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for alias, info in tensors.items():
                dtype = tf.as_dtype(info.dtype).name.removesuffix("32")
                found.add((name, method, direction, alias, dtype, tuple(tf.TensorShape(info.tensor_shape).as_list())))
    listed = {
        (*cells, tuple(int(size) if size.isdecimal() else None for size in shape.split(", ")))
        for *cells, shape in ROW.findall(PAGE)
    }
    assert listed == found


def test_the_page_lists_the_classes_in_order():
    assert ", ".join(f"`{name}`" for name in CLASS_NAMES) in PAGE
