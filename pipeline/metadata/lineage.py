"""Follows a model in the metadata store back to the rows that it was trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata.graph import execution_inputs, find_producer, made_from, properties
from pipeline.settings import Settings
from schema.errors import DataError
from schema.metadata import MODEL, MODEL_CARD, STATISTICS
from schema.model_contract import MLMD_UUID
from serving.promotion import Deployment
from serving.versions import pushed_versions

# The constant in components.model_card.render takes seconds to import.
PAGE = "model_card.html"


@dataclass(frozen=True)
class ExecutionRecord:
    """An execution in the metadata store.

    Attributes:
        execution: ML Metadata's record.
        inputs: input artifacts by input name.
    """

    execution: mlmd.Execution
    inputs: dict[str, tuple[mlmd.Artifact, ...]]

    def input(self, name: str) -> mlmd.Artifact | None:
        """Returns the first artifact of an input, or None if there is none."""
        return next(iter(self.inputs.get(name, ())), None)

    @property
    def parameters(self) -> dict[str, Any]:
        """The execution's parameters by name, as the metadata store holds them."""
        return properties(self.execution)


@dataclass(frozen=True)
class ModelLineage:
    """The executions and artifacts that led to a model.

    Attributes:
        model: the Model artifact.
        training: execution of Trainer.
        transform: execution of Transform.
        ingestion: execution of ExampleGen for the newest span.
        ingested: Examples of each span that the model was trained on, the newest last.
        statistics: statistics of each span's rows, as far as they exist.
        card: the model card; None if none was written.
    """

    model: mlmd.Artifact
    training: ExecutionRecord
    transform: ExecutionRecord
    ingestion: ExecutionRecord
    ingested: tuple[mlmd.Artifact, ...]
    statistics: tuple[mlmd.Artifact, ...]
    card: mlmd.Artifact | None

    @property
    def examples(self) -> mlmd.Artifact:
        """Examples of the newest span, whose test rows evaluated the model."""
        return self.ingested[-1]


def find_model(settings: Settings, given: int) -> tuple[int, Path | None]:
    """Finds the model that a number names.

    Args:
        settings: where pushed versions are.
        given: a pushed version, or a model's id.

    Returns:
        The model's id, and the version's directory if `given` is a pushed version.

    Raises:
        DataError: the version does not name its model.
    """
    pushed = pushed_versions(Path(settings.pusher.destination) / settings.pusher.model_name).get(given)
    if pushed is None:
        return given, None
    if pushed.model_id is None:
        raise DataError(f"{pushed.path} does not say which model it is: it has no {MLMD_UUID}")
    return pushed.model_id, pushed.path


def model_lineage(store: MetadataStore, model_id: int) -> ModelLineage:
    """Follows a model back to its rows.

    Raises:
        DataError: the store has no such model, or does not know how the model was made.
    """
    model = next((one for one in store.get_artifacts_by_id([model_id]) if one.type == MODEL), None)
    if model is None:
        known = ", ".join(str(one.id) for one in store.get_artifacts_by_type(MODEL)) or "none"
        raise DataError(f"the metadata store has no model {model_id}; its models: {known}")
    training = _producer(store, model)
    transform = _producer(store, _require_input(training, "transform_graph")[0])
    ingested = tuple(sorted(_require_input(transform, "examples"), key=lambda one: (_span(one), one.id)))
    statistics = [[one for one in made_from(store, rows.id) if one.type == STATISTICS] for rows in ingested]
    return ModelLineage(
        model,
        training,
        transform,
        _producer(store, ingested[-1]),
        ingested,
        tuple(made[-1] for made in statistics if made),
        find_card(store, model),
    )


def find_card(store: MetadataStore, model: mlmd.Artifact) -> mlmd.Artifact | None:
    """Returns the latest card of a model, or None. Cards that only compare another model with it do not count."""
    cards = [one for one in made_from(store, model.id, "model") if one.type == MODEL_CARD]
    return cards[-1] if cards else None


def find_card_page(settings: Settings, store: MetadataStore, version: int) -> Path | None:
    """Returns the HTML page of a version's model card, or None if the card is unknown or not on this machine.

    Args:
        settings: where versions are pushed to.
        store: metadata store of the run that pushed the version.
        version: number of the version.
    """
    deployment = Deployment(Path(settings.pusher.destination), settings.pusher.model_name, store)
    pushed = deployment.versions().get(version)
    model = dict(deployment.records.lineage(pushed)).get("model") if pushed else None
    card = find_card(store, model) if model else None
    page = Path(card.uri) / PAGE if card else None
    return page if page and page.is_file() else None


def _require_input(record: ExecutionRecord, name: str) -> tuple[mlmd.Artifact, ...]:
    if name not in record.inputs:
        raise DataError(
            f"execution {record.execution.id} of the metadata store has no input {name!r}: not of this pipeline"
        )
    return record.inputs[name]


def _span(examples: mlmd.Artifact) -> int:
    return int(examples.custom_properties["span"].int_value)


def _producer(store: MetadataStore, artifact: mlmd.Artifact) -> ExecutionRecord:
    producer = find_producer(store, artifact.id)
    if producer is None:
        raise DataError(f"the metadata store does not know what made artifact {artifact.id} ({artifact.type})")
    [execution] = store.get_executions_by_id([producer])
    return ExecutionRecord(execution, execution_inputs(store, producer))
