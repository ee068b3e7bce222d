import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import standard_artifacts

from components.resolvers import LatestOtherBlessedModel, PreviousStatistics


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


@pytest.fixture
def ingested(store):
    """Records an ingestion: Examples of a source, and the statistics made of them."""
    examples_type = store.put_artifact_type(mlmd.ArtifactType(name="Examples"))
    statistics_type = store.put_artifact_type(mlmd.ArtifactType(name="ExampleStatistics"))
    execution_type = store.put_execution_type(mlmd.ExecutionType(name="StatisticsGen"))

    def record(span, source="here"):
        examples = mlmd.Artifact(type_id=examples_type, uri="e")
        examples.custom_properties["source"].string_value = source
        [examples_id, statistics_id] = store.put_artifacts([examples, mlmd.Artifact(type_id=statistics_type, uri="s")])
        [execution_id] = store.put_executions([mlmd.Execution(type_id=execution_type)])
        store.put_events(
            [
                mlmd.Event(artifact_id=examples_id, execution_id=execution_id, type=mlmd.Event.INPUT),
                mlmd.Event(artifact_id=statistics_id, execution_id=execution_id, type=mlmd.Event.OUTPUT),
            ]
        )
        artifact = standard_artifacts.ExampleStatistics()
        artifact.id = statistics_id
        artifact.span = span
        return artifact

    return record


def previous(store, current, everything):
    inputs = {"current": [current], "statistics": everything}
    return PreviousStatistics().resolve_artifacts(store, inputs)["statistics"]


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
