"""The whole card: its sections, and how they are made from a run's artifacts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfx.types import Artifact, artifact_utils
from tfx.utils import path_utils

from components.evaluator.report import OVERALL, read_report
from components.model_card.baseline import BaselineComparison, compare_with_baseline
from components.model_card.data import Data, Vocabulary, describe_data, describe_vocabulary
from components.model_card.environment import Environment, describe_environment
from components.model_card.evidence import NotAvailable
from components.model_card.exported_model import ExportedModel, ServingCost
from components.model_card.lineage import Fingerprint, Lineage, fingerprint
from components.model_card.owner import OwnerStatements
from components.model_card.predictions import Predictions
from components.model_card.quality import (
    Calibration,
    Quality,
    Verdicts,
    WrongAnswer,
    describe_calibration,
    describe_quality,
    describe_verdicts,
    worst_errors,
)
from components.model_card.robustness import Robustness, check_robustness
from components.model_card.rows import read_test_rows
from components.model_card.training import Training, describe_training
from schema.data_set import DataSet
from schema.features import TEST

Inputs = Mapping[str, Sequence[Artifact]]
"""Artifacts by role. `examples`, `statistics` and `transformed_examples` have one artifact per span of the training
window; `baseline_model` may be empty; each other role has one artifact."""


@dataclass(frozen=True)
class Card:
    """The facts about a model, section by section.

    Attributes:
        owner: the owner's statements, which no run can know.
        written: time of writing, UTC, ISO 8601.
        model: id of the model in the metadata store.
        export: fingerprint of the SavedModel.
        robustness_seed: seed of the samples and changes of the robustness checks.
    """

    owner: OwnerStatements
    written: str
    model: int
    export: Fingerprint
    verdicts: Verdicts
    quality: Quality
    baseline: BaselineComparison | NotAvailable
    calibration: Calibration
    errors: tuple[WrongAnswer, ...]
    robustness: dict[str, Robustness | NotAvailable]
    robustness_seed: int
    data: Data
    vocabulary: Vocabulary
    training: Training | NotAvailable
    serving: ServingCost
    environment: Environment
    lineage: Lineage


def make_card(
    inputs: Inputs,
    data_set: DataSet,
    owner: OwnerStatements,
    lineage: Lineage,
    *,
    preparation: Mapping[str, float],
    robustness_rows: int,
    robustness_seed: int,
    errors_shown: int,
    written: str,
) -> tuple[Card, Predictions]:
    """Reads the artifacts and classifies the test rows with the model.

    Args:
        inputs: the artifacts.
        data_set: classes and length buckets.
        owner: the owner's statements.
        lineage: the artifacts and code that the card is made from.
        preparation: settings that affect rows and tokens, by name.
        robustness_rows: maximum number of rows per robustness check.
        robustness_seed: seed of the samples and changes.
        errors_shown: maximum number of wrong answers shown with their text.
        written: time of writing, UTC, ISO 8601.

    Returns:
        The card, and the model's predictions for the test rows.
    """
    one = {role: artifacts[0] for role, artifacts in inputs.items() if artifacts}
    # The model is evaluated on the newest span of the training window.
    spans = sorted(inputs["examples"], key=lambda artifact: artifact.get_int_custom_property("span"))
    statistics = sorted(inputs["statistics"], key=lambda artifact: artifact.span)
    export_dir = path_utils.serving_model_path(one["model"].uri)
    rows = read_test_rows(artifact_utils.get_split_uri(spans[-1:], TEST), data_set)
    model, training = ExportedModel(export_dir, data_set.class_names), describe_training(export_dir)
    report = read_report(one["evaluation"].uri)
    probabilities = model.probabilities(rows.texts)
    answers = probabilities.argmax(axis=1)
    card = Card(
        owner=owner,
        written=written,
        model=one["model"].id,
        export=fingerprint(export_dir),
        verdicts=describe_verdicts(one["evaluation"].uri, report, one["blessing"], one["infra_blessing"]),
        quality=describe_quality(report, answers == rows.labels, data_set),
        baseline=compare_with_baseline(inputs.get("baseline_model", ()), rows, answers),
        calibration=describe_calibration(probabilities, rows.labels, training),
        errors=worst_errors(rows, probabilities, errors_shown),
        robustness=check_robustness(model, rows, answers, limit=robustness_rows, seed=robustness_seed),
        robustness_seed=robustness_seed,
        data=describe_data(spans, statistics, preparation, data_set),
        vocabulary=describe_vocabulary(one["transform_graph"], inputs["transformed_examples"], model, rows),
        training=training,
        serving=model.serving_cost(rows.texts),
        environment=describe_environment(),
        lineage=lineage,
    )
    return card, Predictions.of(rows, probabilities)


def headlines(card: Card) -> dict[str, float]:
    """Returns the figures shown in lists of models: `accuracy`, and `recall_<class>` for each class."""
    recalls = {f"recall_{name}": part.recall.value for name, part in card.quality.classes.items()}
    return {"accuracy": card.quality.slices[OVERALL].accuracy.value, **recalls}
