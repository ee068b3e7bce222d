"""Tests the profile of training steps on synthetic rows."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.step_profile import ProfileEvent, StepProfile, bench_step, read_profile, summarize
from components.trainer.rows_file import RowsFile, StoredRecipe
from tests.support.tiny_training import TINY, WORDS, make_rows


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    recipe = TINY.model_copy(update={"architecture": "lstm", "wide": True, "consistency": 0.0, "perturbation": 0.0})
    rows = {"train": make_rows(400, 1), "val": make_rows(40, 2)}
    RowsFile(rows, WORDS, None, StoredRecipe(**recipe.model_dump())).write(path)
    return path


def test_each_part_of_a_step_has_a_share(rows_file, tmp_path):
    options = ["--input", rows_file, "--first", "3", "--steps", "5", "--to", tmp_path]
    ended = CliRunner().invoke(bench_step, [*map(str, options)], catch_exceptions=False)
    assert ended.exit_code == 0
    figures = json.loads(ended.stdout)
    assert figures["steps"] == 5
    shares = figures["shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert min(share for part, share in shares.items() if part != "idle") > 0, shares
    assert (tmp_path / "training_step.png").read_bytes().startswith(b"\x89PNG")


def test_too_few_rows_are_reported_before_the_training(rows_file, tmp_path):
    ended = CliRunner().invoke(bench_step, ["--input", str(rows_file), "--first", "300", "--to", str(tmp_path / "to")])
    assert "340 are needed: lower --first or --steps" in str(ended.exception)


def profile_bytes():
    """A profile of one step of 10 ms; a thread runs two operations, the second within the first."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    plane = space.planes.add(name="/host:CPU")
    for thread, events in {
        "python": [("one_step_on_iterator", 0, 10), ("KernelAndDeviceFunc::Run", 1, 8)],
        "tf_Compute/1": [
            ("gradient_tape/net/recurrent_1/LSTM:BlockLSTMGrad", 2, 6),
            ("net/wide/GatherV2:GatherV2", 3, 1),
        ],
        "tf_data_iterator/1": [("PyFunc:PyFunc", 4, 2), ("Iterator::Root", 7, 3)],
    }.items():
        line = plane.lines.add(name=thread)
        for name, start, length in events:
            number = len(plane.event_metadata) + 1
            plane.event_metadata[number].name = name
            line.events.add(metadata_id=number, offset_ps=start * 10**9, duration_ps=length * 10**9)
    return space.SerializeToString()


def test_an_event_has_the_time_that_no_event_within_it_has():
    shares = summarize(read_profile(profile_bytes()), cores=2)["shares"]
    found = {part: share for part, share in shares.items() if share}
    expected = {"recurrence, backward": 0.25, "wide part": 0.05, "input pipeline": 0.1, "Python": 0.1, "idle": 0.5}
    assert found == pytest.approx(expected)


def test_events_outside_the_steps_do_not_count():
    before, within = ProfileEvent("wide part", 0.0, 1.0, 1.0), ProfileEvent("wide part", 2.0, 3.0, 1.0)
    profile = StepProfile([(2.0, 4.0)], {"Python's thread": [], "operations 1": [before, within]})
    assert summarize(profile, cores=2)["shares"]["wide part"] == 0.25
