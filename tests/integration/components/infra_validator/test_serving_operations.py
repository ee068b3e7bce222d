import shutil
from pathlib import Path

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from components.infra_validator.serving_operations import SERVING_VERSION, missing_operations, serving_operations
from components.infra_validator.validate import Limits, Refused, validate
from pipeline.settings.model import InfraValidatorSettings


@pytest.fixture
def changed(export, tmp_path):
    """Returns a function that changes the graph of a copy of an export, and returns its directory."""

    def change(edit):
        copy = shutil.copytree(export, tmp_path / "changed")
        file = Path(copy, "saved_model.pb")
        model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        edit(model.meta_graphs[0].graph_def)
        file.write_bytes(model.SerializeToString())
        return str(copy)

    return change


def test_an_export_uses_only_operations_of_the_deployed_server(export):
    assert missing_operations(export) == []
    assert {"MatMul", "PartitionedCall", "LookupTableFindV2"} <= serving_operations().keys()


def test_an_operation_or_attribute_that_the_server_lacks_is_refused(changed):
    def edit(graph):
        graph.node.add(name="new", op="OperationOfTomorrow")
        next(node for node in graph.library.function[0].node_def if not node.op.startswith("_")).attr["novel"].i = 1

    saved_model = changed(edit)
    missing = missing_operations(saved_model)
    assert "OperationOfTomorrow" in missing
    assert any(name.endswith(".novel") for name in missing)
    with pytest.raises(Refused, match=f"TensorFlow Serving {SERVING_VERSION} lacks .*OperationOfTomorrow"):
        validate(saved_model, [], Limits(timeout_seconds=60, max_memory_mb=4096, tolerance=1e-4))


def test_the_operations_are_those_of_the_image_in_the_settings():
    assert InfraValidatorSettings().serving_image == f"tensorflow/serving:{SERVING_VERSION}"
