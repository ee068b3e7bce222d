"""Writes the records of a training into a metadata store, as the pipeline's components do."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.code_version import code_version
from pipeline.metadata.connection import connection_config, existing_store
from pipeline.settings import Settings
from schema.data_set import SCHEMA_PATH

INPUT, OUTPUT = mlmd.Event.INPUT, mlmd.Event.OUTPUT


class _Writer:
    def __init__(self, store):
        self.store = store

    def artifact(self, kind, uri, **properties):
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=kind))
        artifact = mlmd.Artifact(type_id=type_id, uri=str(uri), state=mlmd.Artifact.LIVE)
        _set(artifact, properties)
        [artifact.id] = self.store.put_artifacts([artifact])
        return artifact

    def execution(self, kind, inputs, outputs, **properties):
        """Records an execution. `inputs` and `outputs` are artifacts, or lists of artifacts, by name."""
        execution = mlmd.Execution(type_id=self.store.put_execution_type(mlmd.ExecutionType(name=kind)))
        execution.last_known_state = mlmd.Execution.COMPLETE
        _set(execution, properties)
        events = [
            (artifact, mlmd.Event(type=direction, path=mlmd.Event.Path(steps=[{"key": name}, {"index": index}])))
            for direction, artifacts in ((INPUT, inputs), (OUTPUT, outputs))
            for name, given in artifacts.items()
            for index, artifact in enumerate(given if isinstance(given, list) else [given])
        ]
        self.store.put_execution(execution, events, [])


def _set(node, properties):
    for name, value in properties.items():
        setattr(node.custom_properties[name], "int_value" if isinstance(value, int) else "string_value", value)


def record(exported, transform_output, trainer_settings, texts, place):
    """Copies the files of `exported` to a directory in `place` and records them."""
    root = place / "runs"
    model, transformed = root / "model", root / "transformed"
    shutil.copytree(exported, model / "Format-Serving")
    for split in ("train", "val"):
        shutil.copytree(exported.parent / f"Split-{split}", transformed / f"Split-{split}")
    _write_examples(texts, root / "examples", root / "statistics")
    (root / "schema").mkdir()
    shutil.copy(SCHEMA_PATH, root / "schema")
    settings = Settings.model_validate(
        {"pipeline": {"root": str(root)}, "pusher": {"destination": str(place / "serving")}}
    )
    write = _Writer(MetadataStore(connection_config(settings)))
    examples, statistics = (
        write.artifact("Examples", root / "examples"),
        write.artifact("ExampleStatistics", root / "statistics"),
    )
    graph = write.artifact("TransformGraph", Path(transform_output.transform_savedmodel_dir).parent)
    prepared, trained = write.artifact("Examples", transformed), write.artifact("Model", model)
    options = {"code": code_version("example_gen"), "synthetic": False, "val_fraction": 0.05, "max_chars": 10000.0}
    splits = [{"name": name, "pattern": f"{name}.csv"} for name in ("train", "test")]
    write.execution(
        "AgNewsExampleGen",
        {},
        {"examples": examples},
        input_base=str(place / "data"),
        input_config=json.dumps({"splits": splits}),
        custom_config=json.dumps({"custom_config": {"value": options | {"max_bad_fraction": 0.001}}}),
    )
    write.execution("StatisticsGen", {"examples": examples}, {"statistics": statistics})
    write.execution(
        "Transform",
        {"examples": examples, "schema": write.artifact("Schema", root / "schema")},
        {"transformed_examples": prepared, "transform_graph": graph},
        custom_config=json.dumps({"code": code_version("transform")}),
    )
    stage = {"model_name": "agnews", "checkpoint_root": str(root / "checkpoints"), "code": code_version("trainer")}
    write.execution(
        "Trainer",
        {"examples": prepared, "transform_graph": graph},
        {"model": trained},
        custom_config=json.dumps(trainer_settings.model_dump(mode="json") | stage),
    )
    return SimpleNamespace(
        settings=settings,
        store=lambda: existing_store(settings),
        write=write,
        trained=trained,
        model_id=trained.id,
        model=model / "Format-Serving",
        examples=root / "examples",
        transformed=transformed,
    )


def _write_examples(texts, directory, statistics_directory):
    import pandas as pd
    import tensorflow as tf
    import tensorflow_data_validation as tfdv

    from schema.data_set import AG_NEWS
    from schema.features import load_schema

    rows = [
        {"id": f"{row:04x}", "title": title, "description": description, "label": label}
        | {
            "text_length": len(title) + len(description),
            "length_bucket": AG_NEWS.length_bucket(len(title) + len(description)),
        }
        for row in range(50)
        for label, (title, description) in enumerate(texts)
    ]
    os.makedirs(directory / "Split-test")
    with tf.io.TFRecordWriter(str(directory / "Split-test/rows.gz"), "GZIP") as writer:
        for row in rows:
            example = tf.train.Example()
            for name, value in row.items():
                feature = example.features.feature[name]
                if isinstance(value, str):
                    feature.bytes_list.value.append(value.encode())
                else:
                    feature.int64_list.value.append(value)
            writer.write(example.SerializeToString())
    os.makedirs(statistics_directory / "Split-train")
    statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame(rows), tfdv.StatsOptions(schema=load_schema()))
    (statistics_directory / "Split-train/FeatureStats.pb").write_bytes(statistics.SerializeToString())
