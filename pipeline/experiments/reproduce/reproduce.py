"""Repeats a training in a separate directory and compares the outcome with the recorded one."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorflow as tf
from ml_metadata.metadata_store import MetadataStore
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import path_utils

from components.artifact_files import missing_file
from components.model_card.rows import read_test_rows
from components.trainer.run_fn import run_fn
from pipeline.dag import TRAINER
from pipeline.experiments.reproduce.comparison import (
    MetricDifference,
    OutputComparison,
    WeightComparison,
    compare_facts,
    compare_outputs,
    compare_weights,
)
from pipeline.experiments.reproduce.recorded import RecordedTraining, read_training, require_code
from pipeline.experiments.reproduce.rows import PreparedRows, find_recorded_rows, ingest_again
from pipeline.metadata.lineage import find_model, model_lineage
from pipeline.runners.events import Watcher
from pipeline.runners.local import reports_to
from pipeline.settings import Settings
from schema.errors import ReproductionError
from schema.features import TEST, TRAIN, VAL
from schema.interruption import interruptible
from schema.model_contract import TRAINING_FACTS
from schema.paths import list_files

_HYPERPARAMETERS = "best_hyperparameters.txt"


@dataclass(frozen=True)
class Reproduction:
    """The outcome of a repeated training.

    Attributes:
        model: id of the model in the metadata store.
        export: path of the recorded SavedModel.
        revision: commit of the recorded training; None if unknown.
        changed_versions: packages whose versions differ: recorded version and current version.
        rows: source of the training rows.
        same_rows: whether they have the recorded fingerprint; None if none was recorded.
        metrics: the training metrics by name.
        weights: comparison of the weights of both exports.
        answers: comparison of the outputs on the test rows; None if these no longer exist.
        tolerance: allowed difference of a weight or metric.
        same: whether metrics and weights differ by no more than the tolerance.
    """

    model: int
    export: str
    revision: str | None
    changed_versions: dict[str, tuple[str, str]]
    rows: str
    same_rows: bool | None
    metrics: dict[str, MetricDifference]
    weights: WeightComparison
    answers: OutputComparison | None
    tolerance: float
    same: bool

    def to_json(self) -> str:
        """Returns all fields as JSON, under the names of the attributes."""
        return json.dumps(asdict(self), indent=1) + "\n"


def reproduce(
    settings: Settings,
    store: MetadataStore,
    given: int,
    directory: Path,
    watcher: Watcher,
    *,
    any_code: bool = False,
    tolerance: float = 0.0,
) -> Reproduction:
    """Repeats the training of a model.

    Args:
        settings: where pushed versions are.
        store: the metadata store, which is only read.
        given: a pushed version, or a model's id.
        directory: directory for everything that is written.
        watcher: receives the progress.
        any_code: whether to continue if the code has changed. Defaults to False.
        tolerance: allowed difference of a weight or metric. Defaults to 0.

    Raises:
        DataError: there is no such model.
        ReproductionError: the recorded code, data or export is not available.
    """
    model_id, pushed = find_model(settings, given)
    training = read_training(model_lineage(store, model_id), pushed)
    prepared = find_recorded_rows(training)
    if not any_code:
        require_code(training, preparing=prepared is None)
    prepared = prepared or ingest_again(training, directory / "rows", watcher)
    export = _train(training, prepared, directory, watcher)
    repeated = json.loads((export / TRAINING_FACTS).read_text(encoding="utf-8"))
    metrics = compare_facts(training.facts, repeated)
    weights = compare_weights(training.export, export)
    same = weights.within(tolerance) and all(
        one.largest is not None and one.largest <= tolerance for one in metrics.values()
    )
    return Reproduction(
        model=model_id,
        export=str(training.export),
        revision=training.revision.commit if training.revision else None,
        changed_versions=training.changed_versions(),
        rows=prepared.how,
        same_rows=prepared.same,
        metrics=metrics,
        weights=weights,
        answers=_answers(training, export),
        tolerance=tolerance,
        same=same,
    )


def _train(training: RecordedTraining, prepared: PreparedRows, directory: Path, watcher: Watcher) -> Path:
    export = directory / "export" / "Format-Serving"
    base = training.lineage.training.input("base_model")
    with interruptible(), reports_to(watcher, TRAINER):
        run_fn(
            FnArgs(
                train_files=prepared.files[TRAIN],
                eval_files=prepared.files[VAL],
                transform_output=prepared.transform_graph,
                serving_model_dir=str(export),
                model_run_dir=str(directory / "logs"),
                hyperparameters=_hyperparameters(training),
                base_model=path_utils.serving_model_path(base.uri) if base else None,
                custom_config=training.config | {"checkpoint_root": str(directory / "checkpoints")},
            )
        )
    return export


def _hyperparameters(training: RecordedTraining) -> dict | None:
    """Returns the hyperparameters that the Tuner chose, or None without a Tuner."""
    chosen = training.lineage.training.input("hyperparameters")
    if chosen is None:
        return None
    if missing := missing_file(chosen):
        raise ReproductionError(
            f"{chosen.type} {chosen.id}, which the Tuner chose for this training, has no file at {missing}. Restore it"
        )
    with tf.io.gfile.GFile(os.path.join(chosen.uri, _HYPERPARAMETERS)) as file:
        return json.load(file)


def _answers(training: RecordedTraining, export: Path) -> OutputComparison | None:
    directory = os.path.join(training.lineage.examples.uri, f"Split-{TEST}")
    if not list_files(directory, "*"):
        return None
    return compare_outputs(training.export, export, read_test_rows(directory))
