"""Which artifacts of earlier runs a run is compared with.

TFX's own strategies take the latest artifact there is, which in a run taken from the cache is the run's own: the
comparison would change although nothing has. These leave the run's own artifact out. They also leave out artifacts
whose files were deleted, and report them; the store would go on offering them, and every further run would fail.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from components.artifact_files import missing_file

logger = logging.getLogger(__name__)

Artifacts = dict[str, list[Artifact]]
Order = tuple[int, int, int]
"""Span, version and id of an artifact."""


class LatestOtherBlessedModel(ResolverStrategy):
    """The model that was blessed last and is not the candidate; none before the first blessing.

    Inputs: `candidate`, the model of this run; `model` and `model_blessing`, all there are.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        others = (pair for pair in _blessed_models(input_dict) if pair[0].id not in candidates)
        chosen = _latest_with_files(store, others, instead="comparing with {}", otherwise="there is no baseline")
        return {**input_dict, **chosen}


class LatestBlessedModelBefore(ResolverStrategy):
    """The model that was blessed last among those of earlier windows: what a training may begin with.

    A model of the same transform graph is left out, so that a run with nothing new does not begin with its own outcome
    and train again; so is one of a later graph, which the run's first time did not know.

    Inputs: `graph`, the transform graph of this run; `model` and `model_blessing`, all there are.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [graph] = input_dict["graph"]

        def is_of_earlier_graph(model: Artifact) -> bool:
            graphs = [artifact.id for artifact in _made_of(store, model) if artifact.type == graph.type_name]
            return all(number < graph.id for number in graphs)

        earlier = (pair for pair in _blessed_models(input_dict) if is_of_earlier_graph(pair[0]))
        chosen = _latest_with_files(store, earlier, instead="beginning with {}", otherwise="beginning without one")
        return {**input_dict, **chosen}


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
        chosen, gone = _newest(other_spans or earlier, self._spans, _has_files)
        numbers = ", ".join(str(artifact.id) for artifact in chosen.values())
        _report_gone(
            store, gone, f"comparing with statistics {numbers} instead" if chosen else "comparing with nothing"
        )
        return {**input_dict, "statistics": list(chosen.values())}


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
        statistics_of[current.id] = current_statistics
        gone: list[Artifact] = []

        def has_files(examples: Artifact) -> bool:
            needed = (examples, statistics_of[examples.id])
            lacking = [one for one in needed if one is not None and not _has_files(one)]
            gone.extend(lacking)
            return not lacking or examples is current

        chosen, _ = _newest({**accepted, _order(current): current}, self._spans, has_files)
        taken = " and ".join(f"examples {chosen[span].id} of span {span}" for span in sorted(chosen))
        _report_gone(store, gone, f"the window is {taken}")
        window = list(chosen.values())
        return {
            **input_dict,
            "examples": window,
            "statistics": [statistics_of[artifact.id] for artifact in window],
            "newest": window[:1],
            "newest_statistics": [statistics_of[window[0].id]],
        }


def _order(examples: Artifact) -> Order:
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


def _newest(
    by_order: Mapping[Order, Artifact], count: int, has_files: Callable[[Artifact], bool]
) -> tuple[dict[int, Artifact], list[Artifact]]:
    """Chooses the last artifact of each of the latest spans, leaving out those whose files are gone.

    Args:
        by_order: the artifacts.
        count: number of spans, at most.
        has_files: says whether the files of an artifact are there.

    Returns:
        The artifacts by span, the newest first; and those that would have been chosen and have no files.
    """
    chosen: dict[int, Artifact] = {}
    gone = []
    for order in sorted(by_order, reverse=True):
        span, artifact = order[0], by_order[order]
        if span in chosen:
            continue
        if len(chosen) == count:
            break
        if has_files(artifact):
            chosen[span] = artifact
        else:
            gone.append(artifact)
    return chosen, gone


def _blessed_models(inputs: Artifacts) -> Iterator[tuple[Artifact, Artifact]]:
    """Yields blessed models with their blessings, the last blessing first."""
    models = {artifact.id: artifact for artifact in inputs["model"]}
    for blessing in sorted(inputs["model_blessing"], key=lambda artifact: artifact.id, reverse=True):
        model = models.get(blessing.get_int_custom_property("current_model_id"))
        if blessing.get_int_custom_property("blessed") == 1 and model is not None:
            yield model, blessing


def _latest_with_files(
    store: mlmd.MetadataStore, blessed: Iterable[tuple[Artifact, Artifact]], *, instead: str, otherwise: str
) -> Artifacts:
    """Returns the first model whose files are there, with its blessing; reports those before it.

    Args:
        store: the metadata store.
        blessed: models and blessings, the preferred first.
        instead: what happens with the chosen model, for people.
        otherwise: what happens without one.
    """
    gone: dict[int, Artifact] = {}
    for model, blessing in blessed:
        if _has_files(model):
            _report_gone(store, list(gone.values()), f"{instead.format(f'model {model.id}')} instead")
            return {"model": [model], "model_blessing": [blessing]}
        gone[model.id] = model
    _report_gone(store, list(gone.values()), otherwise)
    return {"model": [], "model_blessing": []}


def _has_files(artifact: Artifact) -> bool:
    return missing_file(artifact) is None


def _report_gone(store: mlmd.MetadataStore, gone: Sequence[Artifact], consequence: str) -> None:
    """Tells people, on the display and in the log, which artifact has no files any more and what that leads to."""
    if not gone:
        return
    first, others = gone[0], len(gone) - 1
    name = {"ExampleStatistics": "statistics"}.get(first.type_name, first.type_name.lower())
    more = f" (and {others} earlier one{'s' * (others > 1)})" if others else ""
    logger.warning(
        f"{name} {first.id} of {_run_of(store, first)} is gone from {first.uri}{more}; {consequence}. "
        "To stop looking for what was deleted: agnews artifacts check --mark-deleted",
        extra={"fields": {}},
    )


def _run_of(store: mlmd.MetadataStore, artifact: Artifact) -> str:
    """Names the run that made an artifact; those that took it from the cache came later."""
    events = store.get_events_by_artifact_ids([artifact.id])
    made_by = min(event.execution_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT)
    runs = [one.name for one in store.get_contexts_by_execution(made_by) if one.type == "pipeline_run"]
    return f"run {runs[0]}" if runs else "an unknown run"
