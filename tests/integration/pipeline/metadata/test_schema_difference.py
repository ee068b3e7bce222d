import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.utils import io_utils

from pipeline.metadata.connection import connection_config
from pipeline.metadata.schema_difference import infer_from_latest_statistics
from pipeline.settings import Settings
from schema.errors import RunError
from schema.features import load_schema

# Many different texts, because a few would be inferred as a domain.
ROWS = {
    **{name: [f"{name} {index}" for index in range(300)] for name in ("id", "title", "description")},
    "label": [0, 1, 2] * 100,
    "text_length": [4, 4, 6] * 100,
    "length_bucket": ["short", "long", "medium"] * 100,
}


@pytest.fixture
def infer(tmp_path):
    config = connection_config(Settings.model_validate({"pipeline": {"root": str(tmp_path)}}))

    def infer(rows):
        options = tfdv.StatsOptions(schema=load_schema())
        found = tfdv.generate_statistics_from_dataframe(pd.DataFrame(rows), options)
        io_utils.write_bytes_file(f"{tmp_path}/7/Split-train/FeatureStats.pb", found.SerializeToString())
        store = metadata_store.MetadataStore(config)
        kind = metadata_store_pb2.ArtifactType(name="ExampleStatistics")
        kind.properties["span"] = metadata_store_pb2.INT
        artifact = metadata_store_pb2.Artifact(uri=f"{tmp_path}/7", state=metadata_store_pb2.Artifact.LIVE)
        artifact.type_id = store.put_artifact_type(kind)
        artifact.properties["span"].int_value = 3
        store.put_artifacts([artifact])
        return infer_from_latest_statistics(config, load_schema())

    infer.config = config
    return infer


def test_without_statistics_no_schema_can_be_inferred(infer):
    with pytest.raises(RunError, match="`agnews run` computes them"):
        infer_from_latest_statistics(infer.config, load_schema())


def test_matching_data_gives_no_difference(infer):
    text, span, difference = infer(ROWS)
    assert span == 3
    assert {feature.name for feature in text_format.Parse(text, schema_pb2.Schema()).feature} == set(ROWS)
    assert not [line for line in difference if line.startswith("+") and "label" not in line]
    assert not [line for line in difference if "length_bucket: string_domain: { value" in line]


def test_a_new_feature_a_new_type_and_a_new_value_are_shown(infer):
    rows = ROWS | {"source": ["web"] * 300, "description": range(300), "length_bucket": ["short", "huge", "long"] * 100}
    difference = infer(rows)[2]
    assert "- description: type: 1" in difference
    assert "+ description: type: 2" in difference
    assert any(line.startswith("+ source: ") for line in difference)
    assert any(line.startswith("+ length_bucket: string_domain") and "huge" in line for line in difference)
