"""Repeats a training in a directory of its own and compares the outcome with the recorded one."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorflow as tf
from ml_metadata.metadata_store import MetadataStore
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.utils import path_utils

from components.model_card.rows import read_test_rows
from components.trainer.report import FACTS_FILE
from components.trainer.run_fn import run_fn
from pipeline.experiments.reproduce.comparison import (
    Answers,
    Difference,
    Weights,
    compare_answers,
    compare_facts,
    compare_weights,
)
from pipeline.experiments.reproduce.recorded import Recorded, recorded, require_code
from pipeline.experiments.reproduce.rows import Prepared, ingest_anew, recorded_rows
from pipeline.metadata.lineage import find_model, model_lineage
from pipeline.runners.events import Watcher
from pipeline.runners.local import reports_to
from pipeline.settings import Settings
from schema.features import TEST, TRAIN, VAL
from schema.paths import list_files

_HYPERPARAMETERS = "best_hyperparameters.txt"


@dataclass(frozen=True)
class Reproduction:
    """The outcome.

    Attributes:
        model: id in the metadata store.
        export: the recorded SavedModel.
        revision: the commit of then, where it is known.
        changed_versions: packages of another version than then: then and now.
        rows: where the training rows come from.
        same_rows: whether they have the recorded fingerprint; None where none was recorded.
        metrics: of the training, by name.
        weights: of both exports.
        answers: on the test rows; None where these are gone.
        tolerance: the difference of a weight or metric that is let pass.
        same: whether metrics and weights are the same but for the tolerance.
    """

    model: int
    export: str
    revision: str | None
    changed_versions: dict[str, tuple[str, str]]
    rows: str
    same_rows: bool | None
    metrics: dict[str, Difference]
    weights: Weights
    answers: Answers | None
    tolerance: float
    same: bool

    def to_json(self) -> str:
        """All of it; the fields are those of these classes."""
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
        settings: say where pushed versions are.
        store: the metadata store, which is read alone.
        given: id of the model, or a pushed version.
        directory: for everything that is written.
        watcher: is told of the progress.
        any_code: go on where the code is not that of then.
        tolerance: difference of a weight or metric that is let pass.

    Raises:
        DataError: there is no such model.
        ReproductionError: code, data or export of then are not there.
    """
    model_id, pushed = find_model(settings, given)
    training = recorded(model_lineage(store, model_id), pushed)
    prepared = recorded_rows(training)
    if not any_code:
        require_code(training, preparing=prepared is None)
    prepared = prepared or ingest_anew(training, directory / "rows", watcher)
    export = _train(training, prepared, directory, watcher)
    repeated = json.loads((export / FACTS_FILE).read_text(encoding="utf-8"))
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


def _train(training: Recorded, prepared: Prepared, directory: Path, watcher: Watcher) -> Path:
    export = directory / "export" / "Format-Serving"
    base = training.origin.training.input("base_model")
    with reports_to(watcher, "Trainer"):
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


def _hyperparameters(training: Recorded) -> dict | None:
    """The Tuner's choice, where there was a Tuner."""
    chosen = training.origin.training.input("hyperparameters")
    if chosen is None:
        return None
    with tf.io.gfile.GFile(os.path.join(chosen.uri, _HYPERPARAMETERS)) as file:
        return json.load(file)


def _answers(training: Recorded, export: Path) -> Answers | None:
    directory = os.path.join(training.origin.examples.uri, f"Split-{TEST}")
    if not list_files(directory, "*"):
        return None
    return compare_answers(training.export, export, read_test_rows(directory))
