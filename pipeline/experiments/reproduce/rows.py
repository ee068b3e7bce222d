"""Finds the training rows: the recorded ones if their files are intact, or ingested and transformed again."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import tensorflow as tf

from components.artifact_files import missing_file
from components.example_gen.row_format import RowFormat
from components.example_gen.sources import DataSource
from components.trainer.input_pipeline import list_matching_files, open_rows, read_rows
from pipeline.dag import create_pipeline
from pipeline.experiments.reproduce.recorded import RecordedTraining, ingestion_options
from pipeline.metadata.connection import connection_config, open_store
from pipeline.metadata.graph import removed_on, run_outputs
from pipeline.metadata.lineage import ModelLineage
from pipeline.runners import local
from pipeline.runners.events import Watcher
from pipeline.runners.run_id import new_run_id
from pipeline.settings import Settings
from schema.errors import ReproductionError
from schema.features import TEST, TRAIN, VAL
from schema.metadata import SCHEMA_FILE

ROWS = "rows_sha256"
"""Name of the Trainer's fact with the SHA-256 of the rows of each split."""


@dataclass(frozen=True)
class PreparedRows:
    """The input of a training.

    Attributes:
        files: patterns of the transformed examples by split, one pattern per span.
        transform_graph: directory of Transform's output.
        how: source of the rows, for people.
        same: whether they are the recorded rows; None if no fingerprint was recorded.
    """

    files: dict[str, list[str]]
    transform_graph: str
    how: str
    same: bool | None


def find_recorded_rows(training: RecordedTraining) -> PreparedRows | None:
    """Returns the recorded rows, or None if their files no longer exist or have changed."""
    inputs = training.lineage.training.inputs
    if any(map(missing_file, [*inputs["examples"], *inputs["transform_graph"]])):
        return None
    examples = [one.uri for one in inputs["examples"]]
    prepared = _prepare(examples, inputs["transform_graph"][0].uri, "as recorded", training)
    return prepared if prepared is not None and prepared.same is not False else None


def ingest_again(training: RecordedTraining, directory: Path, watcher: Watcher) -> PreparedRows:
    """Runs the stages before the Trainer on the source files, with the recorded settings.

    Args:
        training: the recorded training.
        directory: directory of the run; nothing is written outside of it.
        watcher: receives the progress.

    Raises:
        ReproductionError: the files no longer exist, or the model was trained on other rows.
        AgNewsError: a stage refuses the files.
    """
    lineage = training.lineage
    prepared_rows = lineage.training.inputs["examples"][0]
    lost = f"the prepared rows of model {lineage.model.id} ({prepared_rows.uri}{removed_on(prepared_rows)})"
    if len(lineage.ingested) > 1:
        raise ReproductionError(
            f"{lost} are gone or changed. They are from {len(lineage.ingested)} spans, and only a single span can be "
            "ingested again: put the files back"
        )
    schema = lineage.transform.inputs["schema"][0]
    if missing := missing_file(schema):
        raise ReproductionError(
            f"{lost} are gone or changed, and so is the schema of their data set ({missing}{removed_on(schema)}): put "
            "one of them back"
        )
    source, settings = _source(lineage), _settings(lineage, directory)
    for pattern in filter(None, (source.train_pattern, source.test_pattern)):
        if not source.files(pattern):
            raise ReproductionError(
                f"neither {lost} nor their source files ({source.base}/{pattern}) exist; put the data back"
            )
    pipeline, run_id = create_pipeline(settings, source, until="Transform"), new_run_id()
    local.run(pipeline, run_id, directory, watcher)
    outputs = run_outputs(open_store(connection_config(settings)), run_id)
    examples, graph = (outputs["Transform", name].uri for name in ("transformed_examples", "transform_graph"))
    prepared = _prepare([examples], graph, f"ingested again from {source.base}", training)
    assert prepared is not None
    if prepared.same is False:
        raise ReproductionError(
            f"model {lineage.model.id} was trained on other data than there is in {source.base} now: the fingerprints "
            "of the rows differ; put the original data back"
        )
    return prepared


def _prepare(examples: Sequence[str], graph: str, how: str, training: RecordedTraining) -> PreparedRows | None:
    files = {split: [os.path.join(uri, f"Split-{split}", "*") for uri in examples] for split in (TRAIN, VAL)}
    known = training.facts.get(ROWS)
    try:
        if not all(list_matching_files([pattern]) for pattern in chain(*files.values())):
            return None
        rows = open_rows(files[TRAIN], max_memory_rows=training.config["max_memory_rows"])
        found = {TRAIN: rows.fingerprint(), VAL: read_rows(files[VAL]).fingerprint()}
    except tf.errors.OpError:  # A damaged file.
        return None
    return PreparedRows(files, graph, how, None if known is None else found == known)


def _source(lineage: ModelLineage) -> DataSource:
    patterns = {
        split["name"]: split["pattern"]
        for split in json.loads(str(lineage.ingestion.parameters["input_config"]))["splits"]
    }
    found_by = "synthetic" if ingestion_options(lineage)["synthetic"] else "path"
    return DataSource(
        str(lineage.ingestion.parameters["input_base"]), patterns[TRAIN], patterns.get(TEST, ""), found_by
    )


def _settings(lineage: ModelLineage, directory: Path) -> Settings:
    """Returns the recorded settings of ExampleGen and Transform."""
    options, source = ingestion_options(lineage), _source(lineage)
    data = {name: options[name] for name in ("val_fraction", "max_bad_fraction", "max_chars")}
    data |= {name: options.get(name) or None for name in ("test_fraction", "max_rows")}
    row_format = RowFormat.decode(options.get("row_format"))
    data |= {name: getattr(row_format, name) for name in ("label_column", "text_columns", "first_class")}
    data |= {"schema_file": Path(lineage.transform.inputs["schema"][0].uri) / SCHEMA_FILE}
    if source.is_dated:
        data |= {
            "path": source.base,
            "train_pattern": source.train_pattern,
            "test_pattern": source.test_pattern or None,
        }
        data |= {"span": lineage.ingestion.parameters["span"]}
    transform = json.loads(str(lineage.transform.parameters["custom_config"]))
    return Settings.model_validate(
        {
            "pipeline": {"root": str(directory)},
            "data": data,
            "transform": {name: value for name, value in transform.items() if name != "code"},
            "pusher": {"destination": str(directory / "nothing-is-pushed")},
        }
    )
