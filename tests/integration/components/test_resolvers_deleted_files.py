"""Checks that no resolver selects artifacts in the metadata store whose files were deleted."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.types import Artifact, standard_artifacts

from components.resolvers import LatestBlessedModelBefore, LatestOtherBlessedModel, LatestSpans, PreviousExamples
from components.validation_gate.component import ValidationBlessing
from tests.support.stored_files import write_files

RUN = "run-of-tuesday"


@dataclass(frozen=True, eq=False)
class Span:
    """The artifacts of an accepted ingestion."""

    examples: Artifact
    statistics: Artifact
    blessing: Artifact


class Pipeline:
    """Records the artifacts of runs, with files, in a separate metadata store."""

    def __init__(self, directory):
        self.directory = directory
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(directory / "metadata.sqlite")
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = metadata_store.MetadataStore(config)
        context = mlmd.Context(name=RUN, type_id=self.store.put_context_type(mlmd.ContextType(name="pipeline_run")))
        [context.id] = self.store.put_contexts([context])
        self.run = context

    def make(self, kind, *inputs, **properties):
        """Records an artifact that an execution made from `inputs`."""
        artifact = kind()
        for name, value in properties.items():
            put = artifact.set_int_custom_property if isinstance(value, int) else artifact.set_string_custom_property
            put(name, value)
        number = len(list(self.directory.iterdir()))
        write_files(artifact, self.directory / f"{kind.TYPE_NAME}-{number}")
        stored = artifact.mlmd_artifact
        stored.type_id = self.store.put_artifact_type(artifact.artifact_type)
        execution = mlmd.Execution(type_id=self.store.put_execution_type(mlmd.ExecutionType(name="Maker")))
        events = [(one.mlmd_artifact, mlmd.Event(type=mlmd.Event.INPUT)) for one in inputs]
        _, [*_, stored.id], _ = self.store.put_execution(
            execution, [*events, (stored, mlmd.Event(type=mlmd.Event.OUTPUT))], [self.run]
        )
        return artifact

    def blessed_model(self, *inputs):
        model = self.make(standard_artifacts.Model, *inputs)
        return model, self.make(standard_artifacts.ModelBlessing, blessed=1, current_model_id=model.id)

    def span(self, number, version=0):
        examples = self.make(standard_artifacts.Examples, source="here", span=number, version=version)
        statistics = self.make(standard_artifacts.ExampleStatistics, examples)
        blessing = self.make(ValidationBlessing, examples_id=examples.id, statistics_id=statistics.id)
        return Span(examples, statistics, blessing)

    def baseline(self, candidate, blessed):
        models, blessings = zip(*blessed, strict=True)
        inputs = {"candidate": [candidate], "model": list(models), "model_blessing": list(blessings)}
        return LatestOtherBlessedModel().resolve_artifacts(self.store, inputs)["model"]

    def base_model(self, graph, blessed):
        models, blessings = zip(*blessed, strict=True)
        inputs = {"graph": [graph], "model": list(models), "model_blessing": list(blessings)}
        return LatestBlessedModelBefore().resolve_artifacts(self.store, inputs)["model"]

    def previous_examples(self, current, spans, count=1):
        inputs = {
            "current": [current.examples],
            "examples": [one.examples for one in spans],
            "blessing": [one.blessing for one in spans],
        }
        return PreviousExamples(count).resolve_artifacts(self.store, inputs)["examples"]

    def window(self, current, spans, count=2):
        inputs = {
            "newest": [current.examples],
            "newest_statistics": [current.statistics],
            "examples": [one.examples for one in spans],
            "statistics": [one.statistics for one in spans],
            "blessing": [one.blessing for one in spans],
        }
        resolved = LatestSpans(count).resolve_artifacts(self.store, inputs)
        taken = [next(one for one in spans if one.examples is examples) for examples in resolved["examples"]]
        assert resolved["statistics"] == [one.statistics for one in taken]
        return taken


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline(tmp_path)


@pytest.fixture
def said(caplog):
    """Returns the log messages for users: those of records with fields, which displays show."""
    caplog.set_level(logging.INFO, "components")
    return lambda: [one.getMessage() for one in caplog.records if hasattr(one, "fields")]


def delete(artifact, part=""):
    shutil.rmtree(Path(artifact.uri, part))


@pytest.mark.parametrize("part", ["", "Format-Serving", "Format-Serving/variables"])
def test_the_blessed_model_before_takes_a_deleted_baselines_place(pipeline, said, part):
    first, second, candidate = pipeline.blessed_model(), pipeline.blessed_model(), pipeline.blessed_model()
    delete(second[0], part)
    assert pipeline.baseline(candidate[0], [first, second, candidate]) == [first[0]]
    [line] = said()
    assert line.startswith(f"model {second[0].id} of run {RUN} is gone from {second[0].uri}")
    assert f"comparing with model {first[0].id} instead" in line


def test_where_every_blessed_model_is_deleted_there_is_no_baseline(pipeline, said):
    first, second, candidate = pipeline.blessed_model(), pipeline.blessed_model(), pipeline.blessed_model()
    delete(first[0])
    delete(second[0])
    assert pipeline.baseline(candidate[0], [first, second, candidate]) == []
    [line] = said()
    assert f"model {second[0].id} of run {RUN} is gone" in line
    assert "and 1 earlier one" in line
    assert "no baseline" in line
    assert "agnews artifacts check --mark-deleted" in line


def test_where_nothing_is_deleted_nothing_is_said(pipeline, said):
    first, second, candidate = pipeline.blessed_model(), pipeline.blessed_model(), pipeline.blessed_model()
    delete(first[0])
    assert pipeline.baseline(candidate[0], [first, second, candidate]) == [second[0]]
    assert said() == []


def test_a_training_begins_with_the_latest_model_that_is_not_deleted(pipeline, said):
    graphs = [pipeline.make(standard_artifacts.TransformGraph) for _ in range(3)]
    first, second = pipeline.blessed_model(graphs[0]), pipeline.blessed_model(graphs[1])
    delete(second[0], "Format-Serving/assets")
    assert pipeline.base_model(graphs[2], [first, second]) == [first[0]]
    assert f"beginning with model {first[0].id} instead" in said()[-1]
    delete(first[0])
    assert pipeline.base_model(graphs[2], [first, second]) == []
    assert "beginning without one" in said()[-1]


@pytest.mark.parametrize("numbers", [(1, 2, 3), (0, 0, 0)], ids=["with spans", "without"])
def test_deleted_examples_are_not_compared_with(pipeline, said, numbers):
    one, two, current = (pipeline.span(number) for number in numbers)
    delete(two.examples, "Split-train")
    assert pipeline.previous_examples(current, [one, two, current]) == [one.examples]
    assert f"examples {two.examples.id} of run {RUN}" in said()[-1]
    assert f"comparing with examples {one.examples.id} instead" in said()[-1]
    delete(one.examples)
    assert pipeline.previous_examples(current, [one, two, current]) == []
    assert "comparing with nothing" in said()[-1]


@pytest.mark.parametrize("kind", ["examples", "statistics"])
def test_a_deleted_span_is_in_no_window(pipeline, said, kind):
    one, two, three = (pipeline.span(number) for number in (1, 2, 3))
    delete(getattr(two, kind), "Split-val")
    assert pipeline.window(three, [one, two, three]) == [three, one]
    assert f"{kind} {getattr(two, kind).id} of run {RUN}" in said()[-1]
    assert (
        f"the window is examples {one.examples.id} of span 1 and examples {three.examples.id} of span 3" in said()[-1]
    )


@pytest.mark.parametrize("versions", [(1, 1), (1, 2)], ids=["ingested twice", "of an earlier version"])
def test_an_earlier_ingestion_of_a_span_takes_a_deleted_ones_place(pipeline, said, versions):
    one, before, last, three = pipeline.span(1), *(pipeline.span(2, version) for version in versions), pipeline.span(3)
    delete(last.examples)
    assert pipeline.window(three, [one, before, last, three]) == [three, before]
    assert f"the window is examples {before.examples.id} of span 2" in said()[-1]
