"""Which artifacts of earlier runs a run is compared with.

TFX's own strategies take the latest artifact there is, which in a run taken from the cache is the run's own: the
comparison would change although nothing has. These leave the run's own artifact out.
"""

from collections.abc import Mapping

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


class LatestBlessedModelBefore(ResolverStrategy):
    """The model that was blessed last among those of earlier windows: what a training may begin with.

    A model of the same transform graph is left out, so that a run with nothing new does not begin with its own outcome
    and train again; so is one of a later graph, which the run's first time did not know.

    Inputs: `graph`, the transform graph of this run; `model` and `model_blessing`, all there are.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [graph] = input_dict["graph"]
        models = {artifact.id: artifact for artifact in input_dict["model"]}
        blessings = sorted(input_dict["model_blessing"], key=lambda artifact: artifact.id, reverse=True)
        for blessing in blessings:
            model = models.get(blessing.get_int_custom_property("current_model_id"))
            if blessing.get_int_custom_property("blessed") == 1 and model is not None:
                graphs = [artifact.id for artifact in _made_of(store, model) if artifact.type == graph.type_name]
                if all(number < graph.id for number in graphs):
                    return {**input_dict, "model": [model], "model_blessing": [blessing]}
        return {**input_dict, "model": [], "model_blessing": []}


class PreviousStatistics(ResolverStrategy):
    """The statistics of the accepted spans before the current one, from the same source; none in its first run.

    Inputs: `current`, the statistics of this run; `statistics` and `blessing`, of the data, all there are. Without
    spans in the input pattern every run has the span 0: then the accepted run before counts.
    """

    def __init__(self, spans: int = 1):
        """
        Args:
            spans: how many of them at most; the nearest ones are taken.
        """
        self._spans = spans

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [current] = input_dict["current"]
        accepted = {blessing.get_int_custom_property("statistics_id") for blessing in input_dict["blessing"]}
        source, span, _ = _origin(store, current)
        earlier = {}
        for artifact in input_dict["statistics"]:
            if artifact.id in accepted:
                its_source, its_span, version = _origin(store, artifact)
                if its_source == source and (its_span, artifact.id) < (span, current.id):
                    earlier[its_span, version, artifact.id] = artifact
        # Another ingestion of the current span is no previous span, unless spans are not used at all.
        other_spans = {order: artifact for order, artifact in earlier.items() if order[0] != span}
        return {**input_dict, "statistics": _newest(other_spans or earlier, self._spans)}


class LatestSpans(ResolverStrategy):
    """The window: the latest accepted spans of the same source, each in its highest version.

    It ends with the newest accepted span, which need not be the one of this run: a late span joins the window where
    it belongs, or changes nothing, so that older rows never take the place of newer ones.

    Inputs: `newest` and `newest_statistics`, Examples and statistics of this run, which the gate has accepted;
    `examples`, `statistics` and `blessing`, of the data, all there are. `examples` and `statistics` become those of
    the window, `newest` and `newest_statistics` those of its last span.
    """

    def __init__(self, spans: int):
        """
        Args:
            spans: how many make a window, at most.
        """
        self._spans = spans

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [current], [current_statistics] = input_dict["newest"], input_dict["newest_statistics"]
        statistics = {artifact.id: artifact for artifact in input_dict["statistics"]}
        statistics_of = {
            blessing.get_int_custom_property("examples_id"): statistics.get(
                blessing.get_int_custom_property("statistics_id")
            )
            for blessing in input_dict["blessing"]
        }
        source = current.get_string_custom_property("source")
        # Of its own span the run has its own ingestion, whatever others were made with other settings.
        accepted = {
            _order(artifact): artifact
            for artifact in input_dict["examples"]
            if statistics_of.get(artifact.id) is not None
            and artifact.get_string_custom_property("source") == source
            and _order(artifact)[0] != _order(current)[0]
        }
        window = _newest({**accepted, _order(current): current}, self._spans)
        statistics_of[current.id] = current_statistics
        return {
            **input_dict,
            "examples": window,
            "statistics": [statistics_of[artifact.id] for artifact in window],
            "newest": window[:1],
            "newest_statistics": [statistics_of[window[0].id]],
        }


def _order(examples: Artifact) -> tuple[int, int, int]:
    span, version = (examples.get_int_custom_property(name) for name in ("span", "version"))
    return span, version, examples.id


def _made_of(store: mlmd.MetadataStore, artifact: Artifact) -> list[metadata_store_pb2.Artifact]:
    """The inputs of the executions that made the artifact."""
    event = metadata_store_pb2.Event
    made_by = [e.execution_id for e in store.get_events_by_artifact_ids([artifact.id]) if e.type == event.OUTPUT]
    inputs = [e.artifact_id for e in store.get_events_by_execution_ids(made_by) if e.type == event.INPUT]
    return store.get_artifacts_by_id(inputs)


def _origin(store: mlmd.MetadataStore, statistics: Artifact) -> tuple[str | None, int, int]:
    """Source, span and version of the Examples that the statistics were made of."""
    for artifact in _made_of(store, statistics):
        properties = artifact.custom_properties
        if "source" in properties:
            span, version = (properties[name].int_value if name in properties else 0 for name in ("span", "version"))
            return properties["source"].string_value, span, version
    return None, 0, 0


def _newest(by_order: Mapping[tuple[int, int, int], Artifact], count: int) -> list[Artifact]:
    """Of artifacts by (span, version, id) one of each span, the last, and of these the last `count`; newest first."""
    of_span = {order[0]: by_order[order] for order in sorted(by_order)}
    return [of_span[span] for span in sorted(of_span, reverse=True)[:count]]
