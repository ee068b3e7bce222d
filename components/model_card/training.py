"""The section about the network and its training, from the facts that the Trainer stored in the export."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from tfx.dsl.io import fileio

from components.model_card.evidence import NotAvailable
from components.trainer.export import read_facts
from components.trainer.shapes import architecture_of
from schema.model_contract import TRAINING_FACTS
from schema.wording import amount
from serving.saved_model import read_meta_graph


@dataclass(frozen=True)
class Training:
    """Facts about the training.

    Attributes:
        architecture: name of the network.
        layers: `name`, `kind`, `shape` and `parameters` of each layer.
        parameters: number of parameters in all layers.
        hyperparameters: all hyperparameters; those that were unset have the architecture's default. A warm start adds
            the base model and how much was taken from it.
        rows: number of training rows.
        tokens_per_row: mean number of tokens per training row.
        steps: number of steps in all epochs.
        history: values of all epochs, by metric.
        best_epoch: epoch whose weights were kept, counted from 1.
        temperature: divisor of the logits.
        not_calibrated: why the temperature is 1 instead of one learned on val; None if it was learned.
        validation_error: expected calibration error on val before and after dividing by the temperature.
        seconds: total training time, seconds.
        device: number of replicas, and whether cuDNN was used.
        tensorflow: version of TensorFlow that wrote the export.
    """

    architecture: str
    layers: list[dict[str, Any]]
    parameters: int
    hyperparameters: dict[str, Any]
    rows: int
    tokens_per_row: float
    steps: int
    history: dict[str, list[float]]
    best_epoch: int
    temperature: float
    not_calibrated: str | None
    validation_error: tuple[float, float]
    seconds: float
    device: str
    tensorflow: str


def describe_training(export_dir: str) -> Training | NotAvailable:
    """Reads the facts of an export; they are missing if this pipeline's Trainer did not write it."""
    path = os.path.join(export_dir, TRAINING_FACTS)
    if not fileio.exists(path):
        return NotAvailable(f"the export has no {TRAINING_FACTS}")
    facts = read_facts(export_dir)
    replicas, calibration = facts["replicas"], facts["calibration"]
    return Training(
        architecture=facts["architecture"],
        layers=facts["layers"],
        parameters=facts["parameters"],
        hyperparameters=_resolve(facts["recipe"]) | facts.get("warm_start", {}),
        rows=facts["rows"],
        tokens_per_row=facts["tokens_per_row"],
        steps=facts["steps"],
        history=facts["history"],
        best_epoch=facts["best_epoch"],
        temperature=calibration["temperature"],
        not_calibrated=calibration.get("not_learned"),
        validation_error=(calibration["ece_before"], calibration["ece_after"]),
        seconds=facts["seconds"],
        device=f"{amount(replicas, 'replica')}, cuDNN {facts['cudnn']}",
        tensorflow=read_meta_graph(export_dir).meta_info_def.tensorflow_version,
    )


def _resolve(recipe: dict[str, Any]) -> dict[str, Any]:
    return {**recipe, **dataclasses.asdict(architecture_of(recipe))}
