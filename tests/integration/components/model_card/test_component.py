import json
import os

import pytest
from tfx.types import Channel

from components.manifest import files_of, record_files
from components.model_card.component import ModelCard, ModelCardExecutor, ModelCardGen
from components.model_card.owner import OWNER_FILE
from schema.data_set import AG_NEWS
from schema.errors import SettingsError
from serving.audit import fingerprint


def test_the_executor_writes_all_forms_and_binds_the_artifact_to_the_model(run, tmp_path):
    output = ModelCard()
    output.uri = str(tmp_path / "card")
    properties = {
        "preparation": '{"max_tokens": 20}',
        "robustness_rows": 5,
        "errors_shown": 2,
        "code": '{"trainer": "abc"}',
        "owner_file": str(OWNER_FILE),
        "data_set": AG_NEWS.encode(),
    }
    [model] = run.inputs["model"]
    record_files(model, "ann@here")
    ModelCardExecutor().Do(run.inputs, {"model_card": [output]}, properties)
    judged = fingerprint(files_of(f"{model.uri}/Format-Serving"))
    assert output.get_string_custom_property("model_fingerprint") == judged
    forms = ["evidence.json", "model_card.html", "model_card.json", "model_card.md", "predictions.parquet"]
    assert sorted(os.listdir(output.uri)) == forms
    evidence = json.loads((tmp_path / "card/evidence.json").read_text())
    assert output.get_int_custom_property("model_id") == evidence["model"] == 5
    assert output.get_string_custom_property("model_sha256") == evidence["export"]["sha256"]
    assert len(evidence["errors"]) == 2
    overall, sports = evidence["quality"]["slices"]["all"], evidence["quality"]["classes"]["Sports"]
    assert output.get_float_custom_property("accuracy") == overall["accuracy"]["value"]
    assert output.get_float_custom_property("recall_Sports") == sports["recall"]["value"]


@pytest.fixture
def channels(run):
    return {role: Channel(type=type(artifacts[0])) for role, artifacts in run.inputs.items()}


def make(channels, owner_file=OWNER_FILE):
    return ModelCardGen(
        data_set=AG_NEWS,
        owner_file=owner_file,
        preparation={},
        robustness_rows=1,
        errors_shown=1,
        code={},
        **channels,
    )


def test_an_edited_owners_file_changes_the_cache_key(channels, tmp_path):
    edited = tmp_path / "model_card.yaml"
    edited.write_bytes(OWNER_FILE.read_bytes())
    before = make(channels, edited).exec_properties
    edited.write_bytes(OWNER_FILE.read_bytes() + b"\n# edited\n")
    assert make(channels, edited).exec_properties != before


def test_a_spoiled_owners_file_stops_before_anything_runs(channels, tmp_path):
    with pytest.raises(SettingsError, match="gone"):
        make(channels, tmp_path / "gone.yaml")
