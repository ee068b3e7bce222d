"""Compares the operations of an export with those of the TensorFlow Serving that is deployed.

The pipeline exports with a newer TensorFlow than the newest image of TensorFlow Serving contains. A graph with an
operation or attribute that the older one does not know does not load there.
"""

import json
from functools import cache
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from schema.model_contract import SAVED_MODEL

SERVING_VERSION = "2.19.1"
"""Release of TensorFlow Serving in `infra_validator.serving_image` and in `serving/deploy`."""

_OPERATIONS = Path(__file__).with_name("operations_of_tensorflow_2.19.json")


@cache
def serving_operations() -> dict[str, frozenset[str]]:
    """Returns the names of the attributes of each operation that `SERVING_VERSION` knows, by operation."""
    return {name: frozenset(attributes) for name, attributes in json.loads(_OPERATIONS.read_text()).items()}


def missing_operations(saved_model: str) -> list[str]:
    """Returns the operations of a SavedModel, and their attributes as `operation.attribute`, that the server lacks."""
    model = saved_model_pb2.SavedModel.FromString(Path(saved_model, SAVED_MODEL).read_bytes())
    missing = set()
    for meta_graph in model.meta_graphs:
        library = meta_graph.graph_def.library.function
        own = {function.signature.name for function in library}
        nodes = [*meta_graph.graph_def.node, *(node for function in library for node in function.node_def)]
        for node in nodes:
            known = serving_operations().get(node.op)
            if known is None:
                missing |= {node.op} - own
            else:
                # Attributes that begin with an underscore belong to no operation and are allowed for all.
                unknown = {name for name in node.attr if not name.startswith("_")} - known
                missing |= {f"{node.op}.{name}" for name in unknown}
    return sorted(missing)
