"""Converts the card to the Model Card Toolkit's published JSON schema, and to plain data.

`model_card.schema.json` is version 0.0.2 of github.com/tensorflow/model-card-toolkit (Apache License 2.0), unchanged.
The package that ships it cannot be installed next to TFX 1.21: it requires TensorFlow Model Analysis below 0.42.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from pydantic import BaseModel

from components.model_card.card import Card
from components.model_card.evidence import NotAvailable, Share
from components.model_card.training import Training
from schema.features import DESCRIPTION, TITLE
from schema.model_contract import CLASSES, PROBABILITIES
from schema.wording import amount

SCHEMA_VERSION = "0.0.2"
_SCHEMA_FILE = Path(__file__).with_name("model_card.schema.json")


@cache
def closed_schema() -> dict[str, Any]:
    """Returns the published schema without additional fields, so that a misspelt field is an error.

    Fixes the schema's one broken reference, `#definitions/graphic`.
    """
    published = json.loads(_SCHEMA_FILE.read_text(encoding="utf-8"))

    def close(node: Any) -> Any:
        if isinstance(node, list):
            return [close(item) for item in node]
        if not isinstance(node, dict):
            return node
        closed = {key: close(value) for key, value in node.items()}
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            closed["additionalProperties"] = False
        if str(node.get("$ref", "")).startswith("#definitions"):
            closed["$ref"] = node["$ref"].replace("#", "#/", 1)
        return closed

    return close(published)


def to_standard(card: Card, documentation: str) -> dict[str, Any]:
    """Converts the card to the schema, in which all numbers are texts and all measurements are performance metrics.

    Args:
        card: the card to convert.
        documentation: the whole card in words, since the schema has no field for settings, environment and lineage.

    Raises:
        jsonschema.ValidationError: the card does not fit the schema.
    """
    owner, training = card.owner, card.training
    standard = {
        "schema_version": SCHEMA_VERSION,
        "model_details": {
            "name": owner.name,
            "overview": owner.overview,
            "documentation": documentation,
            "owners": [{"name": entry.name, "contact": entry.contact} for entry in owner.owners],
            "version": {"name": f"model {card.model}, SHA-256 {card.export.sha256}", "date": card.written[:10]},
            "path": next(source.uri for source in card.lineage.sources if source.role == "model"),
        },
        "model_parameters": {
            "model_architecture": training.not_available
            if isinstance(training, NotAvailable)
            else training.architecture,
            "data": [
                {
                    "name": owner.data.name,
                    "link": owner.data.link,
                    "sensitive": {"sensitive_data": list(owner.data.sensitive)},
                    "description": _data_description(card),
                }
            ],
            "input_format": "two strings a row, of any length",
            "input_format_map": [{"key": TITLE, "value": "string"}, {"key": DESCRIPTION, "value": "string"}],
            "output_format": "the likeliest class, and a probability of each",
            "output_format_map": [
                {"key": "label", "value": "string"},
                {"key": CLASSES, "value": ", ".join(card.quality.classes)},
                {"key": PROBABILITIES, "value": "float32, in the order of classes"},
            ],
        },
        "quantitative_analysis": {"performance_metrics": list(_metrics(card))},
        "considerations": {
            "users": _describe(owner.users),
            "use_cases": _describe(owner.use_cases),
            "limitations": _describe((*owner.limitations, *(f"Out of scope: {text}" for text in owner.out_of_scope))),
            "tradeoffs": _describe(owner.tradeoffs),
            "ethical_considerations": [
                {"name": entry.risk, "mitigation_strategy": entry.mitigation} for entry in owner.ethical_considerations
            ],
        },
    }
    jsonschema.validate(standard, closed_schema(), format_checker=jsonschema.FormatChecker())
    return standard


def _describe(texts: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"description": text} for text in texts]


def _data_description(card: Card) -> str:
    data = card.data
    splits = ", ".join(f"{split.rows} {name}" for name, split in data.splits.items())
    spans = ", ".join(map(str, data.spans))
    return (
        f"{amount(data.rows_read, 'row')} read from {data.source}, span {spans}: {splits}; {data.rows_quarantined} "
        f"quarantined, {amount(data.duplicates, 'duplicate')}, {data.train_test_overlap} in both train and test. "
        f"SHA-256 of the written rows: {data.examples.sha256}. License: {card.owner.data.license}"
    )


def _metrics(card: Card) -> Iterator[dict[str, Any]]:
    quality, calibration, serving = card.quality, card.calibration, card.serving
    for name, value in quality.overall.items():
        yield _metric(name, value)
    for name, part in quality.slices.items():
        yield _metric("example_count", part.rows, name)
        yield _metric("accuracy", part.accuracy, name)
    for name, of_class in quality.classes.items():
        for metric in dataclasses.fields(of_class):
            yield _metric(metric.name, getattr(of_class, metric.name), f"class={name}")
    for true_class, counts in zip(quality.classes, quality.confusion, strict=True):
        for answer, count in zip(quality.classes, counts, strict=True):
            yield _metric("confusion", count, f"true={true_class}, answer={answer}")
    yield _metric("expected_calibration_error", calibration.error)
    if baseline := card.baseline:
        yield _metric("accuracy_change_against_baseline", Share(baseline.change, baseline.low, baseline.high))
        yield _metric("mcnemar_p_value_against_baseline", baseline.test.p_value)
    for name, check in card.robustness.items():
        if check:
            yield _metric("accuracy_change_if_perturbed", Share(check.change, check.low, check.high), name)
    for name, words in card.vocabulary.by_slice.items():
        yield _metric("out_of_vocabulary_rate", words.share, name)
    for quantile, milliseconds in serving.milliseconds.items():
        yield _metric(f"latency_{quantile}_milliseconds", milliseconds)
    yield _metric("throughput_rows_per_second", serving.rows_per_second)
    yield _metric("size_bytes", card.export.bytes)
    if training := card.training:
        yield from _training_metrics(training)


def _training_metrics(training: Training) -> Iterator[dict[str, Any]]:
    yield _metric("training_seconds", training.seconds)
    yield _metric("parameters", training.parameters)
    for name, values in training.history.items():
        for epoch, value in enumerate(values, 1):
            yield _metric(f"training/{name}", value, f"epoch={epoch}")


def _metric(kind: str, value: float | Share, of_slice: str = "") -> dict[str, Any]:
    metric: dict[str, Any] = {"type": kind} | ({"slice": of_slice} if of_slice and of_slice != "all" else {})
    if isinstance(value, Share):
        interval = {"lower_bound": f"{value.low:.6g}", "upper_bound": f"{value.high:.6g}"}
        return metric | {"value": f"{value.value:.6g}", "confidence_interval": interval}
    return metric | {"value": str(value) if isinstance(value, int) else f"{value:.6g}"}


def to_plain(value: Any) -> Any:
    """Converts sections and their content to dictionaries, lists, texts and numbers; NaN and infinities become None.

    For instance, the Evaluator's AUC is undefined if the test rows lack a class.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
