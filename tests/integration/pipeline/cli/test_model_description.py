import shutil
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from pipeline.cli import cli
from pipeline.cli.models import print_description
from pipeline.metadata.model_description import ModelDescription, Token
from schema.errors import DataError

FACTS = {
    "architecture": "lstm",
    "layers": [
        {"name": "embedding", "kind": "Embedding", "shape": ["batch", "time", 64], "parameters": 12_800},
        {"name": "logits", "kind": "Dense", "shape": ["batch", 4], "parameters": 260},
    ],
    "recipe": {"architecture": "lstm", "units": None, "learning_rate": 0.002, "bucket_boundaries": [16, 20]},
    "history": {"loss": [0.9, 0.8, 0.7], "val_accuracy": [0.5, 0.75, 0.625]},
    "best_epoch": 2,
    "calibration": {"temperature": 1.25, "ece_before": 0.05, "ece_after": 0.01},
    "parameters": 13_060,
    "rows": 76_416,
    "tokens_per_row": 37.1,
    "seconds": 264.8,
    "replicas": 1,
    "cudnn": "not used: there is no GPU",
}
TOKENS = [Token(17, "oil", known=True), Token(1, "[unknown]", known=False)]


@pytest.fixture
def shown():
    """Returns the printed lines of a description, with blanks collapsed."""
    return lines_of(FACTS)


def lines_of(facts):
    description = ModelDescription(
        Path("models/7"), facts, "Oil [red]", "soars", TOKENS, {"Business": 0.75, "World": 0.25}
    )
    output = StringIO()
    print_description(Console(file=output, width=120), description)
    return [" ".join(line.split()) for line in output.getvalue().splitlines()]


def test_a_model_that_is_not_calibrated_is_described_as_such():
    calibration = {"temperature": 1.0, "ece_before": 0.05, "ece_after": 0.05, "not_learned": "val has 23 rows"}
    described = " ".join(lines_of(FACTS | {"calibration": calibration}))
    assert "calibration not calibrated, temperature 1: val has 23 rows; expected error on val 0.0500" in described


def test_each_layer_has_its_shape_and_parameters_and_there_is_a_total(shown):
    assert "embedding Embedding batch × time × 64 12,800" in shown
    assert "logits Dense batch × 4 260" in shown
    assert "total 13,060" in shown


def test_the_training_is_described(shown):
    for line in (
        "architecture lstm",
        "kept epoch 2 of 3, val accuracy 0.7500",
        "calibration temperature 1.250, expected error on val 0.0500 → 0.0100",
        "rows 76,416, of 37.1 tokens",
        "seconds 265",
        "device 1 replica, cuDNN not used: there is no GPU",
    ):
        assert line in shown


def test_settings_that_are_set_are_shown(shown):
    assert "settings learning_rate 0.002, bucket_boundaries [16, 20]" in shown


def test_the_example_is_shown_with_its_tokens(shown):
    assert "title Oil [red]" in shown
    assert "tokens oil 17, [unknown] 1" in shown


def test_the_likeliest_class_comes_first(shown):
    assert shown.index("Business 0.7500") == shown.index("World 0.2500") - 1


def describe(*arguments):
    return CliRunner().invoke(cli, ["models", "describe", *arguments])


def test_the_command_describes_the_directory_it_is_given(exported):
    ended = describe(str(exported), "--title", "Goal wins cup", "--description", "the match was close")
    assert ended.exit_code == 0, ended.output
    assert f"model: {exported}" in ended.output
    assert "recurrent_1" in ended.output
    assert "goal " in ended.output


def test_without_a_directory_the_last_pushed_version_is_described(exported, tmp_path):
    for version in ("9", "10"):
        shutil.copytree(exported, tmp_path / "agnews" / version)
    ended = describe("--set", f"pusher.destination={tmp_path}")
    assert f"model: {tmp_path / 'agnews' / '10'}\n" in ended.output


def test_before_the_first_push_the_command_says_what_to_do(tmp_path):
    ended = describe("--set", f"pusher.destination={tmp_path}")
    assert isinstance(ended.exception, DataError)
    assert str(ended.exception).startswith(f"{tmp_path / 'agnews'}: no model has been pushed; run `agnews run`")


def test_describing_leaves_no_files(exported, tmp_path):
    describe(str(exported))
    assert list(tmp_path.iterdir()) == []
