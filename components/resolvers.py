"""Selects the artifacts of earlier runs that a run is compared with.

TFX's own strategies select the latest artifact, which is the run's own if the run was taken from the cache: the
comparison would change although nothing else has. These strategies leave out the run's own artifact. They also leave
out and report artifacts whose files were deleted, since the store would keep offering them and every later run would
fail.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from components.artifact_files import missing_file
from schema.metadata import RUN_CONTEXT, STATISTICS

logger = logging.getLogger(__name__)

Artifacts = dict[str, list[Artifact]]
Order = tuple[int, int, int]
"""Span, version and id of an artifact."""


class LatestOtherBlessedModel(ResolverStrategy):
    """Selects the most recently blessed model other than the candidate; nothing before the first blessing.

    Inputs: `candidate`, the model of this run; `model` and `model_blessing`, all artifacts of these types.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        others = (pair for pair in _blessed_models(input_dict) if pair[0].id not in candidates)
        chosen = _latest_with_files(store, others, instead="comparing with {}", otherwise="there is no baseline")
        return {**input_dict, **chosen}


class LatestBlessedModelBefore(ResolverStrategy):
    """Selects the most recently blessed model of an earlier window, for a warm start.

    Models of the same transform graph are left out; otherwise a run with nothing new would start from its own result
    and train again. Models of a later graph are left out too, since they did not exist when the run was first executed.

    Inputs: `graph`, the transform graph of this run; `model` and `model_blessing`, all artifacts of these types.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [graph] = input_dict["graph"]

        def is_of_earlier_graph(model: Artifact) -> bool:
            graphs = [artifact.id for artifact in _inputs_of_producer(store, model) if artifact.type == graph.type_name]
            return all(number < graph.id for number in graphs)

        earlier = (pair for pair in _blessed_models(input_dict) if is_of_earlier_graph(pair[0]))
        chosen = _latest_with_files(store, earlier, instead="beginning with {}", otherwise="beginning without one")
        return {**input_dict, **chosen}


class PreviousExamples(ResolverStrategy):
    """Selects the rows of the accepted spans before the current one, from the same source.

    The first run of a source has none. Without spans in the input pattern, every run has span 0, and the previous
    accepted run is selected.

    Inputs: `current`, the Examples of this run; `examples` and `blessing` of the data, all artifacts of these types.
    """

    def __init__(self, spans: int = 1):
        """
        Args:
            spans: maximum number of spans; the nearest ones are selected.
        """
        self._spans = spans

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        [current] = input_dict["current"]
        accepted = {blessing.get_int_custom_property("examples_id") for blessing in input_dict["blessing"]}
        source, span = current.get_string_custom_property("source"), _order(current)[0]
        earlier = {
            _order(artifact): artifact
            for artifact in input_dict["examples"]
            if artifact.id in accepted
            and artifact.get_string_custom_property("source") == source
            and (_order(artifact)[0], artifact.id) < (span, current.id)
        }
        # Another ingestion of the current span is not an earlier span, unless spans are not used at all.
        other_spans = {order: artifact for order, artifact in earlier.items() if order[0] != span}
        chosen, gone = _newest(other_spans or earlier, self._spans, _has_files)
        numbers = ", ".join(str(artifact.id) for artifact in chosen.values())
        _report_gone(store, gone, f"comparing with examples {numbers} instead" if chosen else "comparing with nothing")
        return {**input_dict, "examples": list(chosen.values())}


class LatestSpans(ResolverStrategy):
    """Selects the window: the latest accepted spans of the same source, each in its highest version.

    The window ends with the newest accepted span, which may differ from the span of this run. A late span is inserted
    at its position or changes nothing, so older rows never replace newer ones.

    Inputs: `newest` and `newest_statistics`, Examples and statistics of this run, which the gate has accepted;
    `examples`, `statistics` and `blessing` of the data, all artifacts of these types. In the output, `examples` and
    `statistics` are those of the window, `newest` and `newest_statistics` those of its last span.
    """

    def __init__(self, spans: int):
        """
        Args:
            spans: maximum number of spans in the window.
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
        # For its own span the run uses its own ingestion, even if others were made with other settings.
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


def _inputs_of_producer(store: mlmd.MetadataStore, artifact: Artifact) -> list[metadata_store_pb2.Artifact]:
    """Returns the inputs of the executions that produced the artifact."""
    event = metadata_store_pb2.Event
    made_by = [e.execution_id for e in store.get_events_by_artifact_ids([artifact.id]) if e.type == event.OUTPUT]
    inputs = [e.artifact_id for e in store.get_events_by_execution_ids(made_by) if e.type == event.INPUT]
    return store.get_artifacts_by_id(inputs)


def _newest(
    by_order: Mapping[Order, Artifact], count: int, has_files: Callable[[Artifact], bool]
) -> tuple[dict[int, Artifact], list[Artifact]]:
    """Selects the last artifact of each of the latest spans, leaving out artifacts whose files are missing.

    Args:
        by_order: the artifacts.
        count: maximum number of spans.
        has_files: returns whether the files of an artifact exist.

    Returns:
        The artifacts by span, newest first; and the artifacts that were left out because their files are missing.
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
    """Yields blessed models with their blessings, most recent blessing first."""
    models = {artifact.id: artifact for artifact in inputs["model"]}
    for blessing in sorted(inputs["model_blessing"], key=lambda artifact: artifact.id, reverse=True):
        model = models.get(blessing.get_int_custom_property("current_model_id"))
        if blessing.get_int_custom_property("blessed") == 1 and model is not None:
            yield model, blessing


def _latest_with_files(
    store: mlmd.MetadataStore, blessed: Iterable[tuple[Artifact, Artifact]], *, instead: str, otherwise: str
) -> Artifacts:
    """Returns the first model whose files exist, with its blessing; reports the models before it.

    Args:
        store: the metadata store.
        blessed: models and blessings in order of preference.
        instead: use of the selected model, for the message.
        otherwise: consequence if no model is found, for the message.
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
    """Reports artifacts whose files are missing, and the consequence, on the display and in the log."""
    if not gone:
        return
    first, others = gone[0], len(gone) - 1
    name = {STATISTICS: "statistics"}.get(first.type_name, first.type_name.lower())
    more = f" (and {others} earlier one{'s' * (others > 1)})" if others else ""
    logger.warning(
        f"{name} {first.id} of {_producing_run(store, first)} is gone from {first.uri} or damaged there{more}; "
        f"{consequence}. To stop looking for what was deleted: agnews artifacts check --mark-deleted",
        extra={"fields": {}},
    )


def _producing_run(store: mlmd.MetadataStore, artifact: Artifact) -> str:
    """Returns the name of the run that produced an artifact, not of later runs that took it from the cache."""
    events = store.get_events_by_artifact_ids([artifact.id])
    made_by = min(event.execution_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT)
    runs = [one.name for one in store.get_contexts_by_execution(made_by) if one.type == RUN_CONTEXT]
    return f"run {runs[0]}" if runs else "an unknown run"
