from click.testing import CliRunner

from pipeline.cli import cli


def test_a_name_with_invisible_characters_is_refused_before_the_run():
    ended = CliRunner().invoke(cli, ["component", "Trainer", "--run", "x", "--by", "bob\u200b"])
    assert ended.exit_code == 2
    assert "Error: --by: " in ended.output
