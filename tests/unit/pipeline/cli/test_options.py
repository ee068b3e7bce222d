import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from schema.errors import SettingsError


@pytest.mark.parametrize(
    "arguments",
    [
        ["approvals", "approve", "1", "--reason", "good"],
        ["clean"],
        ["labels", "add", __file__],
        ["versions", "promote", "1", "--label", "stable"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(arguments, name):
    """A script's unset variable must not record the decision under another name."""
    error = CliRunner().invoke(cli, [*arguments, "--by", name]).exception
    assert isinstance(error, SettingsError)
    assert "--by is empty" in str(error)
