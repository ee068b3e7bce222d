"""What a model in the metadata store was made of, step by step back to the rows that were ingested."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.settings import Settings
from schema.errors import DataError
from schema.model_contract import MLMD_UUID
from serving.versions import pushed_versions

_MODEL, _EXAMPLES, _STATISTICS, _CARD = "Model", "Examples", "ExampleStatistics", "agnews.ModelCard"


@dataclass(frozen=True)
class Step:
    """An execution with its parameters and its inputs, one or several of each name."""

    execution: mlmd.Execution
    inputs: dict[str, tuple[mlmd.Artifact, ...]]

    def input(self, name: str) -> mlmd.Artifact | None:
        """The first input of a name, if there is one."""
        return next(iter(self.inputs.get(name, ())), None)

    @property
    def parameters(self) -> dict[str, Any]:
        """The execution's parameters by name, as the metadata store holds them."""
        merged = dict(self.execution.properties) | dict(self.execution.custom_properties)
        return {name: getattr(value, value.WhichOneof("value")) for name, value in merged.items()}


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Attributes:
        model: the artifact.
        training: the Trainer's execution.
        transform: Transform's.
        ingestion: ExampleGen's, of the newest span.
        ingested: the ingested rows, of each span that it was trained on, the newest last.
        statistics: of each span's rows, as far as they were made.
        card: the model's card; None where none was written.
    """

    model: mlmd.Artifact
    training: Step
    transform: Step
    ingestion: Step
    ingested: tuple[mlmd.Artifact, ...]
    statistics: tuple[mlmd.Artifact, ...]
    card: mlmd.Artifact | None

    @property
    def examples(self) -> mlmd.Artifact:
        """The newest span's rows, whose test rows judged the model."""
        return self.ingested[-1]


def find_model(settings: Settings, given: int) -> tuple[int, Path | None]:
    """The model's id, and its version directory where `given` is a pushed version rather than an id.

    Raises:
        DataError: the version names no model.
    """
    pushed = pushed_versions(Path(settings.pusher.destination) / settings.pusher.model_name).get(given)
    if pushed is None:
        return given, None
    if pushed.model_id is None:
        raise DataError(f"{pushed.path} does not say which model it is: it has no {MLMD_UUID}")
    return pushed.model_id, pushed.path


def origin_of(store: MetadataStore, model_id: int) -> Origin:
    """Follows a model back.

    Raises:
        DataError: the store has no such model, or does not know how it was made.
    """
    model = next((one for one in store.get_artifacts_by_id([model_id]) if one.type == _MODEL), None)
    if model is None:
        known = ", ".join(str(one.id) for one in store.get_artifacts_by_type(_MODEL)) or "none"
        raise DataError(f"the metadata store has no model {model_id}; its models: {known}")
    training = _maker(store, model)
    transform = _maker(store, _inputs(training, "transform_graph")[0])
    ingested = tuple(sorted(_inputs(transform, "examples"), key=lambda one: (_span(one), one.id)))
    statistics = [[one for one in _made_from(store, rows) if one.type == _STATISTICS] for rows in ingested]
    return Origin(
        model,
        training,
        transform,
        _maker(store, ingested[-1]),
        ingested,
        tuple(made[-1] for made in statistics if made),
        card_of(store, model),
    )


def card_of(store: MetadataStore, model: mlmd.Artifact) -> mlmd.Artifact | None:
    """The latest card that tells of a model; those of others, with which it was compared, do not count."""
    cards = [one for one in _made_from(store, model, "model") if one.type == _CARD]
    return cards[-1] if cards else None


def _inputs(step: Step, name: str) -> tuple[mlmd.Artifact, ...]:
    if name not in step.inputs:
        raise DataError(f"execution {step.execution.id} of the metadata store has no input {name!r}: not this pipeline")
    return step.inputs[name]


def _span(examples: mlmd.Artifact) -> int:
    return int(examples.custom_properties["span"].int_value)


def _maker(store: MetadataStore, artifact: mlmd.Artifact) -> Step:
    """The execution that made an artifact; those that took it from the cache came later."""
    events = store.get_events_by_artifact_ids([artifact.id])
    makers = sorted(event.execution_id for event in events if event.type == mlmd.Event.OUTPUT)
    if not makers:
        raise DataError(f"the metadata store does not know what made artifact {artifact.id} ({artifact.type})")
    [execution] = store.get_executions_by_id(makers[:1])
    used = [event for event in store.get_events_by_execution_ids(makers[:1]) if event.type == mlmd.Event.INPUT]
    artifacts = {one.id: one for one in store.get_artifacts_by_id([event.artifact_id for event in used])}
    inputs: dict[str, tuple[mlmd.Artifact, ...]] = {}
    for event in used:
        name = event.path.steps[0].key
        inputs[name] = (*inputs.get(name, ()), artifacts[event.artifact_id])
    return Step(execution, inputs)


def _made_from(store: MetadataStore, artifact: mlmd.Artifact, name: str = "") -> list[mlmd.Artifact]:
    """What was made with an artifact as input, of that name where one is given, oldest first, and is still there."""
    events = [one for one in store.get_events_by_artifact_ids([artifact.id]) if one.type == mlmd.Event.INPUT]
    users = [event.execution_id for event in events if name in ("", event.path.steps[0].key)]
    events = store.get_events_by_execution_ids(users) if users else []
    made = sorted({event.artifact_id for event in events if event.type == mlmd.Event.OUTPUT})
    return [one for one in store.get_artifacts_by_id(made) if one.state == mlmd.Artifact.LIVE] if made else []
