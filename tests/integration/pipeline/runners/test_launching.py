"""Tests the cache with artifacts whose files were deleted."""

import logging
import shutil
from pathlib import Path

import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import Examples, Model, TransformGraph

from pipeline.runners import local
from pipeline.runners.events import State
from tests.support.recorder import Recorder
from tests.support.stored_files import write_files

pytestmark = pytest.mark.parametrize("connection", ["sqlite"], indirect=True)


@component
def Ingest(rows: OutputArtifact[Examples]) -> None:
    write_files(rows, Path(rows.uri))


@component
def Train(
    rows: InputArtifact[Examples],
    graph: OutputArtifact[TransformGraph],
    model: OutputArtifact[Model],
    epochs: Parameter[int],
) -> None:
    for made in (graph, model):
        write_files(made, Path(made.uri))


@pytest.fixture
def run(tmp_path, connection):
    """Runs two components; returns their last states."""

    def run(name, *, cache=True, epochs=1):
        ingest = Ingest()
        components = [ingest, Train(rows=ingest.outputs["rows"], epochs=epochs)]
        recorder = Recorder()
        pipeline = Pipeline("test", str(tmp_path / "test"), connection, components, enable_cache=cache)
        local.run(pipeline, f"local-{name}", tmp_path, recorder)
        return [recorder.states["Ingest"], recorder.states["Train"]]

    run.files = lambda pattern: sorted((tmp_path / "test").glob(pattern))
    return run


@pytest.mark.parametrize(
    ("deleted", "made_again"),
    [
        ("Ingest/rows/*", [State.DONE, State.DONE]),
        ("Ingest/rows/*/Split-val", [State.DONE, State.DONE]),
        ("Ingest/rows/*/Split-train/*-00001-of-*", [State.DONE, State.DONE]),
        ("Train/graph/*", [State.CACHED, State.DONE]),
        ("Train/graph/*/transform_fn", [State.CACHED, State.DONE]),
        ("Train/model/*/Format-Serving/variables", [State.CACHED, State.DONE]),
        ("Train/model/*/Format-Serving/saved_model.pb", [State.CACHED, State.DONE]),
    ],
)
def test_an_output_that_lacks_a_file_is_made_again(run, caplog, deleted, made_again):
    run("first")
    [path] = run.files(deleted)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with caplog.at_level(logging.WARNING):
        assert run("second") == made_again
    assert any(path.parent.name in record.getMessage() for record in caplog.records)
    assert run("third") == [State.CACHED, State.CACHED]


def test_an_earlier_output_that_is_whole_takes_a_deleted_ones_place(run):
    run("first")
    run("second", cache=False)
    latest = run.files("Ingest/rows/*")[-1]
    shutil.rmtree(latest / "Split-val")
    assert run("third") == [State.CACHED, State.CACHED]
