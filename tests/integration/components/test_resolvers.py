from dataclasses import dataclass

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import Artifact, standard_artifacts

from components.resolvers import LatestBlessedModelBefore, LatestOtherBlessedModel, LatestSpans, PreviousExamples
from components.validation_gate.component import ValidationBlessing


def model(number):
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


def blessing(number, *, of, blessed=True):
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = number
    artifact.set_int_custom_property("blessed", int(blessed))
    artifact.set_int_custom_property("current_model_id", of)
    return artifact


def baseline(candidate, models, blessings):
    inputs = {"candidate": [model(candidate)], "model": [model(m) for m in models], "model_blessing": blessings}
    return [artifact.id for artifact in LatestOtherBlessedModel().resolve_artifacts(None, inputs)["model"]]


def test_before_the_first_blessing_there_is_no_baseline():
    assert baseline(1, [1], []) == []


def test_the_candidate_is_never_its_own_baseline():
    assert baseline(1, [1], [blessing(10, of=1)]) == []


def test_the_last_blessed_other_model_is_the_baseline():
    assert baseline(3, [1, 2, 3], [blessing(10, of=1), blessing(11, of=2)]) == [2]


def test_a_model_that_was_not_blessed_is_no_baseline():
    assert baseline(3, [1, 2, 3], [blessing(10, of=1), blessing(11, of=2, blessed=False)]) == [1]


def test_the_order_of_the_blessings_counts_not_that_of_the_models():
    assert baseline(3, [1, 2, 3], [blessing(11, of=2), blessing(12, of=1)]) == [1]


@pytest.fixture
def store(tmp_path):
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store.MetadataStore(config)


@dataclass(frozen=True, eq=False)
class Ingested:
    """The artifacts of an ingestion: Examples, their statistics, and the gate's blessing if it accepts them."""

    examples: Artifact
    statistics: Artifact
    blessing: Artifact


@pytest.fixture
def ingested(store):
    """Records an ingestion."""
    examples_type = store.put_artifact_type(mlmd.ArtifactType(name="Examples"))
    statistics_type = store.put_artifact_type(mlmd.ArtifactType(name="ExampleStatistics"))
    execution_type = store.put_execution_type(mlmd.ExecutionType(name="StatisticsGen"))

    def record(span, source="here", version=None):
        examples = mlmd.Artifact(type_id=examples_type, uri="e")
        examples.custom_properties["source"].string_value = source
        examples.custom_properties["span"].int_value = span
        if version is not None:
            examples.custom_properties["version"].int_value = version
        [examples_id, statistics_id] = store.put_artifacts([examples, mlmd.Artifact(type_id=statistics_type, uri="s")])
        [execution_id] = store.put_executions([mlmd.Execution(type_id=execution_type)])
        store.put_events(
            [
                mlmd.Event(artifact_id=examples_id, execution_id=execution_id, type=mlmd.Event.INPUT),
                mlmd.Event(artifact_id=statistics_id, execution_id=execution_id, type=mlmd.Event.OUTPUT),
            ]
        )
        made = standard_artifacts.Examples()
        made.id = examples_id
        made.set_string_custom_property("source", source)
        made.set_int_custom_property("span", span)
        if version is not None:
            made.set_int_custom_property("version", version)
        statistics = standard_artifacts.ExampleStatistics()
        statistics.id = statistics_id
        blessing = ValidationBlessing()
        blessing.id = 1000 + examples_id
        blessing.set_int_custom_property("examples_id", examples_id)
        blessing.set_int_custom_property("statistics_id", statistics_id)
        return Ingested(made, statistics, blessing)

    return record


def previous(store, current, everything, refused=(), spans=1):
    inputs = {
        "current": [current.examples],
        "examples": [one.examples for one in everything],
        "blessing": [one.blessing for one in everything if one not in refused],
    }
    chosen = PreviousExamples(spans).resolve_artifacts(store, inputs)["examples"]
    return [one for examples in chosen for one in everything if one.examples is examples]


def test_the_first_ingestion_has_nothing_before_it(store, ingested):
    only = ingested(0)
    assert previous(store, only, [only]) == []


def test_without_spans_the_run_before_counts(store, ingested):
    first, second, third = ingested(0), ingested(0), ingested(0)
    assert previous(store, third, [first, second, third]) == [second]


def test_a_run_from_the_cache_is_compared_as_it_was_at_first(store, ingested):
    first, second, third = ingested(0), ingested(0), ingested(0)
    assert previous(store, second, [first, second, third]) == [first]


def test_with_spans_the_span_before_counts_whenever_it_came_in(store, ingested):
    three, one, two = ingested(3), ingested(1), ingested(2)
    assert previous(store, three, [three, one, two]) == [two]


def test_another_ingestion_of_the_same_span_is_no_previous_span(store, ingested):
    one, two, two_again = ingested(1), ingested(2), ingested(2)
    assert previous(store, two_again, [one, two, two_again]) == [one]


def test_another_source_is_not_compared_with(store, ingested):
    synthetic, real = ingested(0, "synthetic"), ingested(0, "AG_NEWS_DIR")
    assert previous(store, real, [synthetic, real]) == []


@pytest.mark.parametrize("spans", [(1, 2, 3), (0, 0, 0)], ids=["with spans", "without"])
def test_what_the_gate_refused_is_not_compared_with(store, ingested, spans):
    good, refused, current = (ingested(span) for span in spans)
    assert previous(store, current, [good, refused, current], refused=[refused]) == [good]


def test_as_many_spans_are_compared_with_as_the_window_has(store, ingested):
    one, two, two_again, three, four = (ingested(1), ingested(2), ingested(2, version=1), ingested(3), ingested(4))
    everything = [one, two, two_again, three, four]
    assert previous(store, four, everything, spans=2) == [three, two_again]
    assert previous(store, four, everything, spans=9) == [three, two_again, one]


def window(current, everything, refused=(), spans=2):
    inputs = {
        "newest": [current.examples],
        "newest_statistics": [current.statistics],
        "examples": [one.examples for one in everything],
        "statistics": [one.statistics for one in everything],
        "blessing": [one.blessing for one in everything if one not in refused],
    }
    resolved = LatestSpans(spans).resolve_artifacts(None, inputs)
    chosen = [next(one for one in everything if one.examples is examples) for examples in resolved["examples"]]
    assert [one.statistics for one in chosen] == resolved["statistics"]
    assert [chosen[0].examples, chosen[0].statistics] == resolved["newest"] + resolved["newest_statistics"]
    return chosen


def test_the_window_is_the_latest_spans(ingested):
    one, two, three = ingested(1), ingested(2), ingested(3)
    assert window(three, [one, two, three]) == [three, two]
    assert window(three, [one, two, three], spans=1) == [three]
    assert window(one, [one]) == [one]


def test_gaps_are_left_out_of_the_window_and_not_counted(ingested):
    one, seven, nine = ingested(1), ingested(7), ingested(9)
    assert window(nine, [one, seven, nine], spans=3) == [nine, seven, one]


def test_what_the_gate_refused_is_in_no_window(ingested):
    one, refused, three = ingested(1), ingested(2), ingested(3)
    assert window(three, [one, refused, three], refused=[refused]) == [three, one]


def test_a_late_span_joins_the_window_where_it_belongs(ingested):
    one, three, late = ingested(1), ingested(3), ingested(2)
    assert window(late, [one, three, late]) == [three, late]


def test_a_span_older_than_the_window_leaves_it_as_it_is(ingested):
    two, three, late = ingested(2), ingested(3), ingested(1)
    assert window(late, [two, three, late]) == [three, two]


def test_of_a_span_the_highest_version_counts_whenever_it_came_in(ingested):
    second, first, three = ingested(2, version=2), ingested(2, version=1), ingested(3, version=1)
    assert window(three, [second, first, three]) == [three, second]


def test_of_its_own_span_a_run_takes_its_own_ingestion(ingested):
    one, mine, with_other_settings = ingested(1), ingested(2), ingested(2)
    assert window(mine, [one, mine, with_other_settings]) == [mine, one]


def test_another_source_is_in_no_window(ingested):
    elsewhere, here = ingested(1, "elsewhere"), ingested(2)
    assert window(here, [elsewhere, here]) == [here]


@pytest.fixture
def trained(store):
    """Records a training on the transform graph of a given number; returns its model, blessed or not."""
    types = {
        name: store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in ("TransformGraph", "Model", "Schema")
    }
    execution_type = store.put_execution_type(mlmd.ExecutionType(name="Trainer"))
    graphs = store.put_artifacts([mlmd.Artifact(type_id=types["TransformGraph"], uri="g") for _ in range(4)])

    def record(graph):
        [execution_id] = store.put_executions([mlmd.Execution(type_id=execution_type)])
        [model_id] = store.put_artifacts([mlmd.Artifact(type_id=types["Model"], uri="m")])
        store.put_events(
            [
                mlmd.Event(artifact_id=graphs[graph], execution_id=execution_id, type=mlmd.Event.INPUT),
                mlmd.Event(artifact_id=model_id, execution_id=execution_id, type=mlmd.Event.OUTPUT),
            ]
        )
        return model(model_id)

    record.graphs = graphs
    return record


def base(store, trained, graph, models, blessings):
    current = standard_artifacts.TransformGraph()
    current.id = trained.graphs[graph]
    inputs = {"graph": [current], "model": models, "model_blessing": blessings}
    return [artifact.id for artifact in LatestBlessedModelBefore().resolve_artifacts(store, inputs)["model"]]


def test_a_training_begins_with_the_last_blessed_model_of_an_earlier_window(store, trained):
    first, second = trained(0), trained(1)
    blessings = [blessing(10, of=first.id), blessing(11, of=second.id)]
    assert base(store, trained, 2, [first, second], blessings) == [second.id]
    assert base(store, trained, 2, [first, second], blessings[:1]) == [first.id]
    assert base(store, trained, 0, [], []) == []


def test_a_training_begins_with_a_model_of_an_earlier_window(store, trained):
    first, own, later = trained(0), trained(1), trained(2)
    blessings = [blessing(number, of=one.id) for number, one in enumerate((first, own, later))]
    assert base(store, trained, 1, [first, own, later], blessings) == [first.id]


def test_a_training_never_begins_with_a_model_that_was_not_blessed(store, trained):
    first, second = trained(0), trained(1)
    blessings = [blessing(10, of=first.id), blessing(11, of=second.id, blessed=False)]
    assert base(store, trained, 2, [first, second], blessings) == [first.id]
