"""Runs commands in this process."""

from click.testing import CliRunner

from pipeline.cli import cli


def agnews(*arguments):
    """Returns the output of a command; raises its exception if it fails."""
    ended = CliRunner().invoke(cli, arguments)
    if ended.exit_code:
        raise ended.exception
    return ended.output
