"""Writes the operations of a release of TensorFlow, with the names of their attributes, for InfraValidator.

TensorFlow Serving contains the TensorFlow of its own release, which is older than the pipeline's. So run this in an
environment of that release:

    uv run --no-project --python 3.11 --with tensorflow-cpu==2.19.1 scripts/write_serving_operations.py
"""

import json
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

DIRECTORY = Path(__file__).resolve().parent.parent / "components" / "infra_validator"


def main() -> None:
    """Writes the file of the installed release, one operation per line."""
    registered = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    attributes = {
        operation.name: sorted(attribute.name for attribute in operation.attr)
        for operation in op_def_pb2.OpList.FromString(registered).op
    }
    release = ".".join(tf.__version__.split(".")[:2])
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(names)}" for name, names in sorted(attributes.items()))
    (DIRECTORY / f"operations_of_tensorflow_{release}.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
