import json

from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import DataError, SettingsError


def run(*arguments):
    return CliRunner().invoke(cli, ["batch", *map(str, arguments)])


def test_the_version_last_pushed_scores_the_files(exported, tmp_path):
    base = tmp_path / "models" / "agnews"
    base.mkdir(parents=True)
    (base / "3").symlink_to(exported)
    (base / "12").symlink_to(exported)
    (tmp_path / "items.csv").write_text("id,title\na,oil prices rise\nb,\n")
    ended = run(tmp_path / "items.csv", "--to", tmp_path / "scored", "--set", f"pusher.destination={base.parent}")
    assert ended.exit_code == 0, ended.exception
    assert f"model: {base}/12" in ended.output
    assert "scored 1 row of 1 file, 1 in quarantine" in ended.output
    [line] = (tmp_path / "scored").glob("predictions-*")
    assert json.loads(line.read_text())["model_version"] == 12


def test_without_a_pushed_model_it_says_what_to_do(tmp_path):
    (tmp_path / "items.csv").write_text("title\noil\n")
    ended = run(tmp_path / "items.csv", "--to", tmp_path / "scored")
    assert isinstance(ended.exception, DataError)
    assert "no model has been pushed" in str(ended.exception)


def test_an_unwritable_path_is_an_error_without_a_run(tmp_path):
    (tmp_path / "items.csv").write_text("title\noil\n")
    ended = run(tmp_path / "items.csv", "--to", tmp_path / "items.csv/scored", "--model", tmp_path)
    assert isinstance(ended.exception, SettingsError)
    assert str(ended.exception).startswith(f"--to {tmp_path}/items.csv: ")
