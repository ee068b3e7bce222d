"""Tests the command `agnews reproduce`."""

import json

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import DataError, ReproductionError, SettingsError


@pytest.fixture
def agnews(recorded, monkeypatch):
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", recorded.settings.pipeline.root)
    monkeypatch.setenv("AGNEWS_PUSHER__DESTINATION", recorded.settings.pusher.destination)
    return lambda *arguments: CliRunner().invoke(cli, ["reproduce", *map(str, arguments)])


def test_the_outcome_is_printed_and_written_and_the_directory_kept(agnews, recorded, tmp_path):
    ended = agnews(recorded.model_id, "--output", tmp_path / "out.json", "--directory", tmp_path / "kept")
    assert ended.exit_code == 0, ended.output
    assert "tensors identical, bit for bit; largest difference 0\n" in ended.output
    assert ended.output.rstrip().endswith("the same")
    assert json.loads((tmp_path / "out.json").read_text())["same"] is True
    assert (tmp_path / "kept/export/Format-Serving/saved_model.pb").exists()
    again = agnews(recorded.model_id, "--directory", tmp_path / "kept")
    assert isinstance(again.exception, ReproductionError)
    assert "is not empty" in str(again.exception)


def test_a_model_that_is_not_there_and_a_store_that_is_not_there_are_named(agnews, monkeypatch, tmp_path):
    assert isinstance(agnews(4711).exception, DataError)
    monkeypatch.setenv("AGNEWS_PIPELINE__ROOT", str(tmp_path / "empty"))
    ended = agnews(1)
    assert isinstance(ended.exception, DataError)
    assert "no metadata store in" in str(ended.exception)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("option", ["--output", "--directory"])
def test_an_unwritable_place_is_reported_before_the_model_is_looked_for(agnews, tmp_path, option):
    (tmp_path / "file").touch()
    ended = agnews(4711, option, tmp_path / "file/out")
    assert isinstance(ended.exception, SettingsError)
    assert str(ended.exception).startswith(f"{option} {tmp_path}/file/out: Not a directory")


def test_a_file_that_cannot_be_written_in_the_end_does_not_cost_the_outcome(agnews, recorded, monkeypatch):
    from pipeline.experiments import reproduce
    from pipeline.experiments.reproduce.comparison import WeightComparison
    from pipeline.experiments.reproduce.reproduce import Reproduction

    weights = WeightComparison(tensors=3, identical=3, largest=0.0, only_one=())
    outcome = Reproduction(recorded.model_id, "export", None, {}, "rows", True, {}, weights, None, 0.0, same=True)
    # The test above trains; what is printed in the end is the same for any outcome.
    monkeypatch.setattr(reproduce, "reproduce", lambda *_, **__: outcome)
    ended = agnews(recorded.model_id, "--output", "/dev/full")
    assert ended.output.rstrip().endswith("the same")
    assert isinstance(ended.exception, SettingsError)
    assert "--output /dev/full: No space left on device" in str(ended.exception)
