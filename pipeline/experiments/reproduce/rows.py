"""The training rows: as they were prepared then, where the files are whole, or ingested and prepared anew."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import tensorflow as tf

from components.example_gen.sources import DataSource
from components.trainer.input_pipeline import files_of, read_rows
from components.trainer.streaming import open_rows
from pipeline.dag import create_pipeline
from pipeline.experiments.reproduce.recorded import Recorded, ingestion_options
from pipeline.metadata.connection import connection_config, open_store
from pipeline.metadata.graph import run_outputs
from pipeline.metadata.lineage import ModelLineage
from pipeline.runners import local
from pipeline.runners.events import Watcher
from pipeline.runners.run_id import new_run_id
from pipeline.settings import Settings
from schema.errors import ReproductionError
from schema.features import TEST, TRAIN, VAL

ROWS = "rows_sha256"
"""The Trainer's fact: SHA-256 of the rows of each split that it was given."""


@dataclass(frozen=True)
class Prepared:
    """What a training is given.

    Attributes:
        files: patterns of the transformed examples, by split; of a window one a span.
        transform_graph: directory of Transform's output.
        how: where they come from, in words.
        same: whether they are the rows of then; None where no fingerprint was recorded.
    """

    files: dict[str, list[str]]
    transform_graph: str
    how: str
    same: bool | None


def recorded_rows(training: Recorded) -> Prepared | None:
    """The rows of then, or None where their files are gone or changed."""
    inputs = training.origin.training.inputs
    examples = [one.uri for one in inputs["examples"]]
    prepared = _prepared(examples, inputs["transform_graph"][0].uri, "as recorded", training)
    return prepared if prepared is not None and prepared.same is not False else None


def ingest_anew(training: Recorded, directory: Path, watcher: Watcher) -> Prepared:
    """Runs the stages before the Trainer on the source files, with the settings of then.

    Args:
        training: what was recorded.
        directory: for the run; nothing is written elsewhere.
        watcher: is told of the stages.

    Raises:
        ReproductionError: the files are gone, or are not what the model was trained on.
        AgNewsError: a stage refuses them.
    """
    origin = training.origin
    lost = f"the prepared rows of model {origin.model.id} ({origin.training.inputs['examples'][0].uri})"
    if len(origin.ingested) > 1:
        raise ReproductionError(
            f"{lost} are gone or changed; they were of {len(origin.ingested)} spans, and only one can be ingested "
            "anew: put them back"
        )
    source, settings = _source(origin), _settings(origin, directory)
    for pattern in (source.train_pattern, source.test_pattern):
        if not source.files(pattern):
            raise ReproductionError(
                f"neither {lost} nor what they were made of ({source.base}/{pattern}) is there; put the data back"
            )
    pipeline, run_id = create_pipeline(settings, source, until="Transform"), new_run_id()
    local.run(pipeline, run_id, directory, watcher)
    outputs = run_outputs(open_store(connection_config(settings)), run_id)
    examples, graph = (outputs["Transform", name].uri for name in ("transformed_examples", "transform_graph"))
    prepared = _prepared([examples], graph, f"ingested anew from {source.base}", training)
    assert prepared is not None
    if prepared.same is False:
        raise ReproductionError(
            f"the data in {source.base} is not what model {origin.model.id} was trained on: its rows have other "
            "fingerprints; put the data of then back"
        )
    return prepared


def _prepared(examples: Sequence[str], graph: str, how: str, training: Recorded) -> Prepared | None:
    files = {split: [os.path.join(uri, f"Split-{split}", "*") for uri in examples] for split in (TRAIN, VAL)}
    known = training.facts.get(ROWS)
    try:
        if not (all(files_of([pattern]) for pattern in chain(*files.values())) and tf.io.gfile.exists(graph)):
            return None
        rows = open_rows(files[TRAIN], max_memory_rows=training.config["max_memory_rows"])
        found = {TRAIN: rows.fingerprint(), VAL: read_rows(files[VAL]).fingerprint()}
    except tf.errors.OpError:  # A damaged file.
        return None
    return Prepared(files, graph, how, None if known is None else found == known)


def _source(origin: ModelLineage) -> DataSource:
    patterns = {
        split["name"]: split["pattern"]
        for split in json.loads(str(origin.ingestion.parameters["input_config"]))["splits"]
    }
    found_by = "synthetic" if ingestion_options(origin)["synthetic"] else "path"
    return DataSource(str(origin.ingestion.parameters["input_base"]), patterns[TRAIN], patterns[TEST], found_by)


def _settings(origin: ModelLineage, directory: Path) -> Settings:
    """Those that decide which rows there are and what becomes of them."""
    options, source = ingestion_options(origin), _source(origin)
    data = {name: options[name] for name in ("val_fraction", "max_bad_fraction", "max_chars")}
    if source.dated:
        data |= {"path": source.base, "train_pattern": source.train_pattern, "test_pattern": source.test_pattern}
        data |= {"span": origin.ingestion.parameters["span"]}
    transform = json.loads(str(origin.transform.parameters["custom_config"]))
    return Settings.model_validate(
        {
            "pipeline": {"root": str(directory)},
            "data": data,
            "transform": {name: value for name, value in transform.items() if name != "code"},
            "pusher": {"destination": str(directory / "nothing-is-pushed")},
        }
    )
