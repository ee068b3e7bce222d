import os

import pytest
import tensorflow as tf
from tfx.components.util import model_utils
from tfx.types import artifact_utils, standard_artifacts

from components.infra_validator import component
from components.infra_validator.component import AgNewsInfraValidator
from components.infra_validator.validate import Refused
from components.manifest import files_of, record_files
from components.trainer.export import text_example
from schema.errors import NotMeasuredError
from serving.audit import fingerprint


@pytest.fixture
def bless(tmp_path):
    def bless(saved_model):
        model, examples, blessing = (
            standard_artifacts.Model(),
            standard_artifacts.Examples(),
            standard_artifacts.InfraBlessing(),
        )
        model.uri, examples.uri, blessing.uri = (
            str(tmp_path / "model"),
            str(tmp_path / "examples"),
            str(tmp_path / "blessing"),
        )
        os.makedirs(tmp_path / "model")
        os.symlink(saved_model, tmp_path / "model/Format-Serving")
        os.makedirs(tmp_path / "examples/Split-test")
        os.makedirs(blessing.uri)
        examples.split_names = artifact_utils.encode_split_names(["test"])
        with tf.io.TFRecordWriter(str(tmp_path / "examples/Split-test/data.gz"), "GZIP") as writer:
            for index in range(5):
                writer.write(text_example(f"title {index}", "text").SerializeToString())
        record_files(model, "ann@here")
        limits = {"rows": 3, "timeout_seconds": 120.0, "max_memory_mb": 4096, "tolerance": 1e-4}
        executor = AgNewsInfraValidator.EXECUTOR_SPEC.executor_class()
        executor.Do({"model": [model], "examples": [examples]}, {"blessing": [blessing]}, limits)
        return blessing

    return bless


def test_the_blessing_is_the_one_that_tfx_understands(bless, export):
    blessing = bless(export)
    assert model_utils.is_infra_validated(blessing)
    assert os.listdir(blessing.uri) == ["INFRA_BLESSED"]


def test_a_refusal_says_why_and_does_not_bless(bless, export, monkeypatch):
    asked = []

    def refuse(saved_model, examples, limits):
        asked.append((len(examples), limits.max_memory_mb))
        raise Refused("it took too long")

    monkeypatch.setattr(component, "validate", refuse)
    blessing = bless(export)
    assert asked == [(3, 4096)]
    assert not model_utils.is_infra_validated(blessing)
    assert os.listdir(blessing.uri) == ["INFRA_NOT_BLESSED"]
    assert blessing.get_string_custom_property("reason") == "it took too long"
    assert blessing.get_string_custom_property("model_fingerprint") == fingerprint(files_of(export))


def test_what_could_not_be_tried_is_no_verdict(bless, export, tmp_path, monkeypatch):
    def fail(saved_model, examples, limits):
        raise NotMeasuredError("the serving process was killed")

    monkeypatch.setattr(component, "validate", fail)
    with pytest.raises(NotMeasuredError) as failed:
        bless(export)
    assert (failed.value.exit_code, failed.value.may_pass) == (5, True)
    assert os.listdir(tmp_path / "blessing") == []


def test_a_blessing_names_the_files_that_it_judged(bless, export):
    assert bless(export).get_string_custom_property("model_fingerprint") == fingerprint(files_of(export))
