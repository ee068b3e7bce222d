"""Which artifacts of earlier runs a run is compared with.

TFX's own strategies take the latest artifact there is, which in a run taken from the cache is the run's own: the
comparison would change although nothing has. These leave the run's own artifact out.
"""

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

Artifacts = dict[str, list[Artifact]]


class LatestOtherBlessedModel(ResolverStrategy):
    """The model that was blessed last and is not the candidate; none before the first blessing.

    Inputs: `candidate`, the model of this run; `model` and `model_blessing`, all there are.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        models = {artifact.id: artifact for artifact in input_dict["model"]}
        blessings = sorted(input_dict["model_blessing"], key=lambda artifact: artifact.id, reverse=True)
        for blessing in blessings:
            model_id = blessing.get_int_custom_property("current_model_id")
            if blessing.get_int_custom_property("blessed") == 1 and model_id in models.keys() - candidates:
                return {**input_dict, "model": [models[model_id]], "model_blessing": [blessing]}
        return {**input_dict, "model": [], "model_blessing": []}


class PreviousStatistics(ResolverStrategy):
    """The statistics of the span before the current one, from the same source; none in the first run of a source.

    Inputs: `current`, the statistics of this run; `statistics`, all there are. Without spans in the input pattern
    every run has the span 0: then the run before counts.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [current] = input_dict["current"]
        source = _source(store, current)
        earlier = [
            artifact
            for artifact in input_dict["statistics"]
            if (artifact.span < current.span or (artifact.span == current.span and artifact.id < current.id))
            and _source(store, artifact) == source
        ]
        # Another ingestion of the current span is no previous span, unless spans are not used at all.
        other_spans = [artifact for artifact in earlier if artifact.span != current.span]
        chosen = max(other_spans or earlier, key=lambda artifact: (artifact.span, artifact.id), default=None)
        return {**input_dict, "statistics": [chosen] if chosen else []}


def _source(store: mlmd.MetadataStore, statistics: Artifact) -> str | None:
    """The source of the Examples that the statistics were made of."""
    event = metadata_store_pb2.Event
    made_by = [e.execution_id for e in store.get_events_by_artifact_ids([statistics.id]) if e.type == event.OUTPUT]
    inputs = [e.artifact_id for e in store.get_events_by_execution_ids(made_by) if e.type == event.INPUT]
    for artifact in store.get_artifacts_by_id(inputs):
        if "source" in artifact.custom_properties:
            return artifact.custom_properties["source"].string_value
    return None
